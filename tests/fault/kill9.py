#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""kill -9 at random moments, eight clients: what was acknowledged stays, what ended has one end.

KILLS of them (20; long: 1,000).  Every EPOCH kills (50) all jobs may end, everything is compared
once, and a new, empty daemon takes over, so that the copies that the judge looks at
stay small.
"""
import os
import random
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
from rig import FaultCase, Rig, SHIM, how_often
from awaitd_test import IS_SLOW, SEED, main, sleep_until, wait_until
from httpd import body_bytes

KILLS = how_often("KILLS", 6 if IS_SLOW else 20, 1000)
EPOCH = how_often("EPOCH", 50, 50)
CLIENTS = 3 if IS_SLOW else 8


class Kill9(FaultCase):
    def test_kills(self):
        web = self.web()
        chance = random.Random(SEED)
        self.slowest = 0
        for first in range(0, KILLS, EPOCH):
            n = min(EPOCH, KILLS - first)
            rig = Rig(self, f"epoch {first}", CLIENTS, web=web.url(""))
            self.epoch(rig, chance, n)
            print(f"\n{first + n} kills: {rig.figures()}", flush=True)
            self.assertGreater(len(rig.judge.acknowledged.all), n * 5, "hardly any load")
            rig.d.remove()
        print(f"{KILLS} kills, slowest start {self.slowest:.2f} s", flush=True)

    def epoch(self, rig, chance, kills):
        rig.d.start()
        rig.start_clients()
        for _ in range(kills):
            sleep_until(time.monotonic() + chance.uniform(0.02, 0.6))
            rig.kill9()
            rig.check_clients()
            rig.judge.look()
            self.slowest = max(self.slowest, rig.d.start())
        rig.end_clients()
        rig.finish()
        self.check_files(rig)

    def check_files(self, rig):
        """However often its download was cut off: what has its name is whole."""
        names = [name for name in os.listdir(rig.files) if not name.startswith(".")]
        for name in names:
            with open(os.path.join(rig.files, name), "rb") as f:
                data = f.read()
            self.assertIn(len(data), (500, 2000), f"{name} is not whole")
            self.assertTrue(data == body_bytes(0, len(data), "1"), f"{name} is another file")
        print(f"\n{len(names)} files are whole", flush=True)

    def test_key_after_a_lost_reply(self):
        """The client saw no answer and sends again: the same job, whatever became of the first."""
        d = self.daemon()
        c = self.client(d)
        keys = [f"again-{n}" for n in range(50)]
        for key in keys:
            c.request("job.submit", {"kind": "timer", "sleep": 0, "key": key})
        d.kill9()
        d.start()
        c = self.client(d)
        first = [c.submit("timer", sleep=0, key=key)["id"] for key in keys]
        second = [c.submit("timer", sleep=0, key=key) for key in keys]
        self.assertEqual([j["id"] for j in second], first)
        self.assertTrue(all(j["existing"] for j in second))
        self.assertEqual(len(c.list_all()), len(keys))

    def test_a_file_that_has_its_name_already(self):
        """Its fetch is not recorded as done yet, is made again, and finds nothing in its way."""
        self.need_shim()
        with tempfile.NamedTemporaryFile() as f:
            born = subprocess.run(["stat", "-c", "%W", f.name], text=True,
                                  capture_output=True, check=True).stdout.strip()
        if born in ("0", "-", "?"):
            self.skipTest("this file system keeps no times of birth")
        web = self.web()
        # The last one leaves something that the next attempt goes on with.
        for url, size in (("/bytes/600?", 600), ("/delay/1/x?size=700", 700),
                          ("/bytes/2000000?", 2000000),
                          ("/part/x?after=4000&end=stall&size=5000", 5000)):
            with self.subTest(url):
                for n in range(20):  # now and then the record is there first
                    if self.kill_behind_a_name(web.url(url.replace("x", f"x{n}")), size):
                        break
                else:
                    self.fail("the kills came too late")

    def kill_behind_a_name(self, url, size):
        """Does the daemon die when the file has its name, and before that is recorded?"""
        d = self.daemon(start=False)
        os.makedirs(d.state, mode=0o700)
        d.start(env={"LD_PRELOAD": SHIM, "FAULT_DIR": d.state, "FAULT_SYNC_US": "200000"})
        c = self.client(d)
        path = os.path.join(d.home, "file")
        job = c.submit("fetch", url=url, output=path, idle_timeout=2, retry={"max": 2})["id"]

        def has_its_name():
            c.request("job.submit", {"kind": "timer", "sleep": 1, "delay": 3600})  # syncs go on
            end = time.monotonic() + 0.03
            while not os.path.exists(path) and time.monotonic() < end:
                time.sleep(0.001)  # wait_until() would look too late
            return os.path.exists(path)
        wait_until(has_its_name, 30, "the file has its name")
        d.kill9()
        d.start()
        c = self.client(d)
        self.assert_done(c.wait_one(job))
        self.assertEqual(os.path.getsize(path), size)
        self.assertEqual([n for n in os.listdir(d.home) if n.endswith(".part")], [])
        was_lost = "lost" in [a["outcome"] for a in c.get(job)["attempts"]]
        d.stop()
        return was_lost


if __name__ == "__main__":
    main()
