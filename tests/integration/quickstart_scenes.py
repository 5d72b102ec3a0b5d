#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The scenes of the quick start, by time and by content."""
import hashlib
import os
import sys
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import (IS_SLOW, TestCase, main, parse_time, process_start, sleep_until,
                         wait_until)

# How much later than the ideal a scene may end on a loaded machine with two cores.
SLACK = 6.0 if IS_SLOW else 1.5

TICKER = """echo $$ > pid
i=0
while :; do
	sleep 1
	i=$((i + 1))
	echo "message $i"
done
"""


class Scenes(TestCase):
    def setUp(self):
        self.d = self.daemon()

    def assert_took(self, seconds, ideal):
        self.assertGreaterEqual(seconds, ideal - 0.001, "too early")
        self.assertLess(seconds, ideal + SLACK, "too late")

    def test_hello_then_hi(self):
        began = time.monotonic()
        for word, seconds in (("hello", 1), ("hi", 2)):
            r = self.d.ctl("run", "timer", "--value", f'"{word}"', str(seconds))
            self.assertEqual(r.status, 0, r)
            self.assertEqual(r.out, f'"{word}"\n')
        self.assert_took(time.monotonic() - began, 3)

    def test_hello_and_hi_at_once(self):
        began = time.monotonic()
        runs = [self.d.ctl_spawn("run", "timer", "--value", f'"{word}"', str(seconds))
                for word, seconds in (("hello", 1), ("hi", 2))]
        told = [p.communicate(timeout=60)[0] for p in runs]
        self.assert_took(time.monotonic() - began, 2)
        self.assertEqual(told, ['"hello"\n', '"hi"\n'])
        self.assertEqual([p.returncode for p in runs], [0, 0])

    def test_three_slow_servers(self):
        web = self.web()
        urls = {name: web.url(f"/delay/{delay}/{name}?size={size}")
                for name, delay, size in (("a.bin", 3, 300000), ("b.bin", 1, 100000),
                                          ("c.bin", 1, 5))}
        folder = os.path.join(self.d.home, "files")
        os.mkdir(folder)
        began = time.monotonic()
        runs = {name: self.d.ctl_spawn("run", "fetch", "--output", name, url, cwd=folder)
                for name, url in urls.items()}
        for name, p in runs.items():
            out, err = p.communicate(timeout=60)
            self.assertEqual(p.returncode, 0, err)
            self.assertEqual(out, os.path.join(folder, name) + "\n")
        self.assert_took(time.monotonic() - began, 3)
        self.assertEqual(sorted(os.listdir(folder)), ["a.bin", "b.bin", "c.bin"])
        for name, url in urls.items():
            with urllib.request.urlopen(url.replace("/delay/3/", "/delay/0/")) as answer:
                wanted = answer.read()
            with open(os.path.join(folder, name), "rb") as f:
                self.assertEqual(hashlib.sha256(f.read()).hexdigest(),
                                 hashlib.sha256(wanted).hexdigest(), name)

    def test_worker_cancelled_after_three_messages(self):
        c = self.client(self.d)
        # A machine that stalls for half a second can make it a fourth message, honestly.
        for attempt in range(3):
            job = c.call("job.submit", self.d.shell(TICKER, cwd=self.d.home))
            job = c.wait_state(job["id"], "running")
            started = time.monotonic() - (time.time() - parse_time(job["started_at"]))
            sleep_until(started + 3.5)
            r = self.d.ctl("cancel", str(job["id"]))
            self.assertEqual(r.status, 0, r)
            was_prompt = time.monotonic() - started < 3.9
            done = self.assert_done(c.wait_one(job["id"]), "cancelled")
            wrote = c.output(job["id"]).decode()
            if was_prompt:
                break
        self.assertEqual(wrote, "message 1\nmessage 2\nmessage 3\n")
        self.assertEqual(done["error"]["code"], "cancelled")
        with open(os.path.join(self.d.home, "pid"), encoding="ascii") as f:
            self.assertIsNone(process_start(int(f.read())), "the worker still runs")
        self.assertEqual(self.d.leftovers(), [])

    def test_kill9_in_the_middle(self):
        web = self.web()
        c = self.client(self.d)
        output = os.path.join(self.d.home, "late.bin")
        waiting = [c.submit("timer", sleep=0, delay=2, value=n)["id"] for n in range(20)]
        running = c.submit("timer", sleep=3, value="still")
        fetch = c.submit("fetch", url=web.url("/delay/2/late.bin?size=1000"), output=output)["id"]
        ticker = c.call("job.submit", self.d.shell(TICKER, cwd=self.d.home))["id"]
        for number in (running["id"], fetch, ticker):
            c.wait_state(number, "running")
        wait_until(lambda: os.path.exists(os.path.join(self.d.home, "pid")), 10, "the worker runs")
        self.d.kill9()
        self.d.check_supervisors_gone()
        wait_until(lambda: not self.d.leftovers(), 10, "a killed daemon leaves no worker")
        self.d.start()
        c = self.client(self.d)
        for n, job in enumerate(c.wait(*waiting)):
            self.assert_done(job)
            self.assertEqual((job["result"], job["attempt"]), (n, 1))
        still = self.assert_done(c.wait_one(running["id"]))
        self.assertEqual((still["result"], still["attempt"]), ("still", 1))
        slept = parse_time(still["ended_at"]) - parse_time(still["started_at"])
        self.assert_took(slept, 3)
        again = self.assert_done(c.wait_one(fetch))
        self.assertEqual(again["attempt"], 2, "a GET that was cut off is tried again")
        self.assertEqual(os.path.getsize(output), 1000)
        lost = self.assert_done(c.wait_one(ticker), "lost")
        self.assertEqual(lost["error"]["code"], "lost")


if __name__ == "__main__":
    main()
