#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A job that is tried more than once: what becomes of its attempts, and who can see it."""
import contextlib
import os
import sqlite3
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
             "outcome": "succeeded", "result": None, "error": None}])
        running = c.call("job.submit", self.d.shell("sleep 600"))["id"]
        job = c.wait_state(running, "running")
        self.assertEqual(job["attempts"], [
            {"attempt": 1, "started_at": job["started_at"], "ended_at": None, "outcome": None,
             "result": None, "error": None}])
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

    # ---- results ----

    def fail_and_wait(self, c, script="exit 3", **keys):
        """A worker that has failed once and waits long for its next attempt; its id."""
        number = c.call("job.submit", self.d.shell(
            script, **{"retry": {"max": 5, "delay": 3600, "jitter": 0}, **keys}))["id"]
        wait_until(lambda: c.get(number)["reason"] == "backoff", 30, "it waits for its retry")
        return number

    def assert_result(self, job, status):
        """Its result, and its only attempt's, are those of a program that ended with @status."""
        result = job["result"]
        self.assertEqual(sorted(result),
                         ["exit", "max_rss", "signal", "system_time", "user_time"])
        self.assertEqual((result["exit"], result["signal"]), (status, None))
        self.assertGreater(result["max_rss"], 0)
        attempt, = job["attempts"]
        self.assertEqual((attempt["outcome"], attempt["result"]), ("failed", result))
        self.assertEqual(attempt["error"]["exit"], status)

    def test_results_of_all(self):
        c = self.client(self.d)
        job = c.wait_one(c.call("job.submit", self.d.shell(
            "exit $AWAITD_ATTEMPT", success=[3], retry={"max": 4, "delay": 0}))["id"])
        self.assert_done(job)
        self.assertEqual(job["result"]["exit"], 3)
        attempts = c.get(job["id"])["attempts"]
        self.assertEqual([a["result"]["exit"] for a in attempts], [1, 2, 3])
        self.assertEqual(attempts[2]["result"], job["result"])
        shown = self.d.ctl("show", str(job["id"]))
        self.assertRegex(shown.out, r"(?m)^ +2: +failed \(exit 2\), started .* of processor time$")

    def test_timed_out_and_waiting(self):
        c = self.client(self.d)
        number = self.fail_and_wait(c, "sleep 600", timeout=1)
        attempt, = c.get(number)["attempts"]
        self.assertEqual((attempt["outcome"], attempt["result"]["signal"]),
                         ("timed_out", "SIGTERM"))
        self.assertIsNone(c.get(number)["result"], "the job has none yet")
        c.call("job.cancel", {"ids": [number]})
        self.assertEqual(c.wait_one(number)["result"], attempt["result"])

    def test_cancelled_between_attempts(self):
        c = self.client(self.d)
        numbers = [self.fail_and_wait(c, f"exit {status}") for status in (3, 4, 5)]
        c.call("job.cancel", {"ids": numbers[:1]})
        self.d.restart()
        c = self.client(self.d)
        self.assert_result(c.get(numbers[0]), 3)
        c.call("job.cancel", {"ids": numbers[1:2]})
        self.d.kill9()
        self.d.start()
        c = self.client(self.d)
        self.assert_result(c.get(numbers[1]), 4)
        c.call("job.cancel", {"ids": numbers[2:]})
        job = c.wait_one(numbers[2])
        self.assertEqual(job["outcome"], "cancelled")
        self.assert_result(c.get(numbers[2]), 5)
        seen = self.d.ctl("--json", "list", "--outcome", "cancelled")
        self.assertEqual([j["result"]["exit"] for j in seen.json["jobs"]][::-1], [5, 4, 3])

    def test_deadline_between_attempts(self):
        c = self.client(self.d)
        for deadline in (1, 5, 25, 125):  # the first one that leaves time for an attempt
            job = c.wait_one(c.call("job.submit", self.d.shell(
                "exit 3", retry={"max": 1, "delay": 3600}, deadline=deadline))["id"], timeout=200)
            self.assertEqual((job["outcome"], job["error"]["code"]), ("timed_out", "deadline"))
            job = c.get(job["id"])
            if job["attempts"] and job["attempts"][0]["outcome"] == "failed":
                break
        self.assert_result(job, 3)

    def test_deadline_while_the_daemon_is_away(self):
        c = self.client(self.d)
        number = self.fail_and_wait(c, "exit 4", deadline=600)
        self.d.kill9()
        database = os.path.join(self.d.state, "awaitd.db")
        with contextlib.closing(sqlite3.connect(database)) as db:
            db.execute("UPDATE deadline SET due = due - 600000,"
                       " due_boot = due_boot - 600000000000")
            db.commit()
        self.d.start()
        job = self.client(self.d).wait_one(number)
        self.assertEqual((job["outcome"], job["error"]["code"]), ("timed_out", "deadline"))
        self.assert_result(self.client(self.d).get(number), 4)

    def test_lost_has_none(self):
        """Cut off after one that failed: the last one's result is not known."""
        mark = os.path.join(self.d.home, "begun")
        c = self.client(self.d)
        number = c.call("job.submit", self.d.shell(
            f"[ $AWAITD_ATTEMPT = 2 ] || exit 3; touch {mark}; sleep 600",
            retry={"max": 1, "delay": 0}))["id"]
        wait_until(lambda: os.path.exists(mark), 30, "the second attempt has begun")
        self.restart()
        job = self.client(self.d).wait_one(number)
        self.assertEqual((job["outcome"], job["result"]), ("lost", None))
        attempts = self.client(self.d).get(number)["attempts"]
        self.assertEqual(attempts[0]["result"]["exit"], 3)
        self.assertIsNone(attempts[1]["result"])

    def test_cut_off_by_a_stop(self):
        """A stop sees how its workers end."""
        number = self.twice()
        self.d.restart()
        c = self.client(self.d)
        self.assert_done(c.wait_one(number))
        first = c.get(number)["attempts"][0]
        self.assertEqual((first["outcome"], first["result"]["signal"]), ("lost", "SIGTERM"))

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
