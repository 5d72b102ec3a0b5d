#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A job that is tried more than once: what becomes of its attempts, and who can see it."""
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import TestCase, main, parse_time, wait_until


class Attempts(TestCase):
    def setUp(self):
        self.d = self.daemon()

    def twice(self):
        """A worker whose first attempt waits to be cut off; the second one ends by itself."""
        mark = os.path.join(self.d.home, "begun")
        with self.d.client() as c:
            number = c.call("job.submit", self.d.shell(
                f"echo attempt $AWAITD_ATTEMPT; [ $AWAITD_ATTEMPT = 1 ] || exit 0; "
                f"touch {mark}; sleep 600", on_lost="retry"))["id"]
        wait_until(lambda: os.path.exists(mark), 10, "the first attempt has begun")
        return number

    def restart(self):
        self.d.kill9()
        self.d.start()

    def test_none_and_one(self):
        c = self.client(self.d)
        later = c.submit("timer", sleep=0, delay=600)["id"]
        self.assertEqual(c.get(later)["attempts"], [])
        job = c.wait_one(c.submit("timer", sleep=0)["id"])
        self.assertNotIn("attempts", job, "job.get alone has them")
        job = c.get(job["id"])
        self.assertEqual(job["attempts"], [
            {"attempt": 1, "started_at": job["started_at"], "ended_at": job["ended_at"],
             "outcome": "succeeded", "error": None}])
        running = c.call("job.submit", self.d.shell("sleep 600"))["id"]
        job = c.wait_state(running, "running")
        self.assertEqual(job["attempts"], [
            {"attempt": 1, "started_at": job["started_at"], "ended_at": None, "outcome": None,
             "error": None}])
        c.call("job.cancel", {"ids": [later, running]})
        c.wait(running)

    def test_cut_off_and_again(self):
        number = self.twice()
        self.restart()
        c = self.client(self.d)
        self.assert_done(c.wait_one(number))
        job = c.get(number)
        first, second = job["attempts"]
        self.assertEqual((first["attempt"], first["outcome"]), (1, "lost"))
        self.assertEqual((second["attempt"], second["outcome"], second["error"]),
                         (2, "succeeded", None))
        self.assertEqual(second["ended_at"], job["ended_at"])
        self.assertLessEqual(parse_time(first["started_at"]), parse_time(first["ended_at"]))
        self.assertLessEqual(parse_time(first["ended_at"]), parse_time(second["started_at"]))
        shown = self.d.ctl("show", str(number))
        self.assertEqual(shown.status, 0, shown)
        self.assertRegex(shown.out, r"(?m)^attempts:\n +1: +lost, started .*\n +2: +succeeded, ")

    def test_timeline(self):
        number = self.twice()
        self.restart()
        with self.d.client() as c:
            self.assert_done(c.wait_one(number))
            other = c.submit("timer", sleep=600)["id"]
        r = self.d.ctl("timeline", str(number))
        self.assertEqual(r.status, 0, r)
        self.assertEqual(len(r.lines), 2, "a scale, and a line")
        self.assertRegex(r.lines[1], rf"^{number} worker .*succeeded, 2 attempts$")
        self.assertTrue(all(len(line) <= 80 for line in r.lines), r.out)
        r = self.d.ctl("--json", "timeline", str(number))
        self.assertEqual(len(r.json["attempts"]), 2)
        self.assertEqual(self.d.ctl("timeline", "999").status, 4)
        self.assertRegex(self.d.ctl("timeline", str(other)).lines[1], r"running$")
        with self.d.client() as c:
            c.call("job.cancel", {"ids": [other]})


if __name__ == "__main__":
    main()
