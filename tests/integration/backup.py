#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A backup of a daemon at work, and the way back to it as awaitd(8) describes it."""
import contextlib
import os
import random
import re
import sqlite3
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import AWAITD, SEED, TestCase, main, sleep_until, wait_until

ROUNDS = int(os.environ.get("AWAITD_TEST_ROUNDS") or 8)
PART = ".awaitd-part"


def inspect(path):
    """What SQLite itself says of a copy: (integrity, number of jobs), without changing it."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as db:
        return (db.execute("PRAGMA integrity_check").fetchone()[0],
                db.execute("SELECT count(*) FROM job").fetchone()[0])


class Backup(TestCase):
    def setUp(self):
        self.d = self.daemon()
        self.c = self.client(self.d)
        self.copy = os.path.join(self.d.home, "copy.db")

    def fill(self, n):
        for _ in range(n // 1000):
            self.c.call("job.submit_many", {"jobs": [
                {"kind": "timer", "sleep": 0, "delay": 86400, "value": "x" * 200}] * 1000})

    def put_back(self):
        """The steps of the manual: stop, no log, the copy in its place, start."""
        self.d.stop()
        database = os.path.join(self.d.state, "awaitd.db")
        os.rename(database, database + ".before")
        if os.path.exists(database + "-wal"):
            os.unlink(database + "-wal")
        os.rename(self.copy, database)
        check = self.d.spawn("--check")
        self.assertEqual(check.wait(30), 0, self.d.log_tail())
        self.d.start()
        self.c = self.client(self.d)

    def test_there_and_back(self):
        done = self.c.submit("timer", sleep=0, value={"a": [1]}, name="early")["id"]
        self.c.wait_one(done)
        waits = self.c.submit("timer", sleep=0, delay=3600, tags=["t"], key="k")["id"]
        runs = self.c.call("job.submit", self.d.shell("sleep 600"))["id"]
        self.c.wait_state(runs, "running")
        before = [self.c.get(done), self.c.get(waits)]
        r = self.d.ctl("backup", "copy.db")
        self.assertEqual((r.status, r.out, r.err), (0, "", ""))
        self.assertEqual(os.stat(self.copy).st_mode & 0o7777, 0o600)
        self.assertEqual(inspect(self.copy), ("ok", 3))
        self.assertFalse(os.path.exists(self.copy + PART))
        later = self.c.submit("timer", sleep=0)["id"]
        self.c.wait_one(later)
        self.c.call("job.cancel", {"ids": [runs]})
        self.c.wait_one(runs)
        self.put_back()
        self.assertEqual([self.c.get(done), self.c.get(waits)], before)
        self.assert_done(self.c.wait_one(runs), "lost")  # it ran when the copy was made
        self.assertEqual(self.c.call_error("job.get", {"id": later}).word, "not_found")
        again = self.c.submit("timer", sleep=0, delay=3600, tags=["t"], key="k")
        self.assertEqual((again["id"], again["existing"]), (waits, True))

    def test_what_is_there_stays(self):
        with open(self.copy, "w", encoding="ascii") as f:
            f.write("mine")
        r = self.d.ctl("backup", self.copy)
        self.assertEqual((r.status, r.out), (4, ""))
        self.assertIn("--overwrite", r.err)
        self.assertIn('"overwrite"', r.err)
        with open(self.copy, encoding="ascii") as f:
            self.assertEqual(f.read(), "mine")
        r = self.d.ctl("--json", "backup", "--overwrite", self.copy)
        self.assertEqual((r.status, r.json["bytes"]), (0, os.path.getsize(self.copy)))
        self.assertEqual(inspect(self.copy)[0], "ok")

    def test_errors(self):
        for params, code, word in (
                ({}, -32602, None), ({"path": "relative.db"}, -32602, None),
                ({"path": "/nowhere/at/all/x"}, -32602, None),
                ({"path": os.path.join(self.d.state, "awaitd.db"), "overwrite": True},
                 -32602, None),
                ({"path": self.d.home}, -32602, None)):
            e = self.c.call_error("daemon.backup", params)
            self.assertEqual(e.code, code, params)
            self.assert_sentence(e.message)
        self.assertEqual(self.c.submit("timer", sleep=0)["id"], 1)

    def descriptors(self):
        """(file, flags) of what the daemon has open in its state directory."""
        folder, found = f"/proc/{self.d.pid}", []
        for number in os.listdir(f"{folder}/fd"):
            try:
                path = os.readlink(f"{folder}/fd/{number}")
                with open(f"{folder}/fdinfo/{number}", encoding="ascii") as f:
                    flags = int(re.search(r"flags:\s*(\d+)", f.read()).group(1), 8)
            except OSError:
                continue
            if path.startswith(self.d.state + "/awaitd.db"):
                found.append((os.path.basename(path), flags))
        return sorted(found)

    def test_one_connection(self):
        """R1.2, R1.13: the store is open once, without shared memory, and no worker has it."""
        self.c.call("daemon.backup", {"path": self.copy})
        self.c.wait_one(self.c.submit("timer", sleep=0)["id"])
        files = self.descriptors()
        self.assertEqual([name for name, _ in files], ["awaitd.db", "awaitd.db-wal"])
        self.assertTrue(all(flags & os.O_CLOEXEC for _, flags in files), files)
        self.assertFalse(os.path.exists(os.path.join(self.d.state, "awaitd.db-shm")))
        number = self.c.call("job.submit", self.d.shell("ls -l /proc/self/fd"))["id"]
        self.c.wait_one(number)
        self.assertNotIn(b"awaitd.db", self.c.output(number))

    def test_check_of_a_copy(self):
        """How a running store is examined."""
        self.c.wait_one(self.c.submit("timer", sleep=0)["id"])
        folder = os.path.join(self.d.home, "check")
        os.mkdir(folder)
        copy = os.path.join(folder, "awaitd.db")
        self.c.call("daemon.backup", {"path": copy})
        words = [AWAITD, "--user", "--state-dir", folder, "--check"]
        p = subprocess.run(words, env=self.d.env, capture_output=True, text=True)
        self.assertEqual((p.returncode, p.stdout), (0, "the store is sound\n"), p)
        with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as db:
            db.execute("UPDATE tally SET done = done + 1")
        p = subprocess.run(words, env=self.d.env, capture_output=True, text=True)
        self.assertEqual(p.returncode, 65, p)
        self.assertIn("counts that differ", p.stdout)

    def test_one_at_a_time(self):
        self.fill(20000)
        first = self.c.request("daemon.backup", {"path": self.copy})
        e = self.c.call_error("daemon.backup", {"path": self.copy + "2"})
        self.assertEqual(e.word, "limit")
        self.assertEqual(self.c.reply(first), {"bytes": os.path.getsize(self.copy)})
        self.c.call("daemon.backup", {"path": self.copy + "2"})

    def test_under_load(self):
        """Submits go on; each that was acknowledged before the request is in the copy."""
        self.fill(20000)
        stop, slowest, numbers = threading.Event(), [0.0], []

        def load():
            with self.d.client() as c:
                while not stop.is_set():
                    began = time.monotonic()
                    numbers.append(c.submit("timer", sleep=0, delay=86400)["id"])
                    slowest[0] = max(slowest[0], time.monotonic() - began)
        thread = threading.Thread(target=load)
        thread.start()
        wait_until(lambda: len(numbers) > 10, 10, "the load is on")
        n_before = len(numbers)
        before = time.monotonic()
        self.c.call("daemon.backup", {"path": self.copy})
        took, n_after = time.monotonic() - before, len(numbers)
        stop.set()
        thread.join()
        integrity, n = inspect(self.copy)
        print(f"\n{os.path.getsize(self.copy)} bytes in {took:.3f} s, {n_after - n_before} submits "
              f"meanwhile, the slowest of all took {slowest[0] * 1000:.1f} ms", flush=True)
        self.assertEqual(integrity, "ok")
        self.assertGreaterEqual(n, 20000 + n_before)
        self.assertLessEqual(n, 20000 + len(numbers))
        self.assertGreater(n_after, n_before, "submits stood still")

    def test_stop_gives_it_up(self):
        self.fill(30000)
        self.c.request("daemon.backup", {"path": self.copy})
        wait_until(lambda: os.path.exists(self.copy + PART) or os.path.exists(self.copy), 10,
                   "the copying begins")
        self.assertEqual(self.d.stop(), 0)
        self.assertFalse(os.path.exists(self.copy + PART))
        if os.path.exists(self.copy):
            self.assertEqual(inspect(self.copy), ("ok", 30000))

    def test_kill(self):
        """kill -9 at random moments: nothing or all of it under the name."""
        chance = random.Random(SEED)
        self.fill(20000)
        began = time.monotonic()
        self.c.call("daemon.backup", {"path": self.copy})
        span = time.monotonic() - began
        n_whole = 0
        for _ in range(ROUNDS):
            if os.path.exists(self.copy):
                os.unlink(self.copy)
            self.c.request("daemon.backup", {"path": self.copy})
            sleep_until(time.monotonic() + chance.uniform(0, 1.2 * span))
            self.d.kill9()
            if os.path.exists(self.copy):
                n_whole += 1
                self.assertEqual(inspect(self.copy), ("ok", 20000))
            self.d.start()
            self.c = self.client(self.d)
        print(f"\n{ROUNDS} kills, {n_whole} copies were whole", flush=True)
        self.c.call("daemon.backup", {"path": self.copy, "overwrite": True})
        self.assertFalse(os.path.exists(self.copy + PART), "what a kill left is replaced")
        self.put_back()
        self.assertEqual(self.c.call("daemon.stats")["jobs"]["states"]["waiting"], 20000)

    def test_the_client_goes_away(self):
        self.fill(20000)
        other = self.client(self.d)
        other.request("daemon.backup", {"path": self.copy})
        other.close()
        wait_until(lambda: os.path.exists(self.copy), 20, "the copy is made all the same")
        self.assertEqual(inspect(self.copy), ("ok", 20000))


if __name__ == "__main__":
    main()
