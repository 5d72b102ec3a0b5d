#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Settings whose effect nothing else shows: crash loops, keys, the check at the start, back-off."""
import os
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import TestCase, main, parse_time, wait_until

HOUR = 3600


class CrashLoop(TestCase):
    """[jobs] crash_loop_within, crash_loop_attempts."""

    def crashing(self, config):
        d = self.daemon(config="[jobs]\n" + config)
        number = self.client(d).call("job.submit", d.shell(
            "sleep 600", on_lost="retry"))["id"]
        return d, number

    def crash(self, d, number, attempt, after=lambda c, job: True):
        """kill -9 when the attempt runs, and start again."""
        def runs():
            job = c.get(number)
            return (job["state"], job["attempt"]) == ("running", attempt) and job
        with d.client() as c:
            job = wait_until(runs, 20, f"attempt {attempt} runs")
            wait_until(lambda: after(c, job), 20, "it has run for long enough")
        d.kill9()
        d.check_supervisors_gone()
        d.start()

    def test_as_many_as_it_says(self):
        d, number = self.crashing("crash_loop_within = 1h\ncrash_loop_attempts = 5\n")
        for attempt in range(1, 6):
            self.crash(d, number, attempt)
        job = self.assert_done(self.client(d).wait_one(number), "failed")
        self.assertEqual((job["attempt"], job["error"]["code"]), (5, "crash_loop"))
        self.assertIn("5 times", job["error"]["message"])
        self.assertIn("1h", job["error"]["message"])

    def test_later_ones_do_not_count(self):
        """What counts is when the daemon was last alive, which it leaves as the time of a file."""
        d, number = self.crashing("crash_loop_within = 1s\ncrash_loop_attempts = 2\n")
        mark = os.path.join(d.state, "alive")

        def was_alive(c, job):
            """Every start is followed by such a mark, a second later."""
            c.wait_one(c.call("job.submit", d.shell("true"))["id"])
            return os.stat(mark).st_mtime - parse_time(job["started_at"]) > 1
        for attempt in range(1, 4):
            self.crash(d, number, attempt, after=was_alive)
        c = self.client(d)
        wait_until(lambda: c.get(number)["attempt"] == 4, 20, "it runs once more")
        c.call("job.cancel", {"ids": [number]})
        c.wait_one(number)


class Keys(TestCase):
    """[jobs] key_keep."""

    def age(self, d, hours):
        """As if everything that was over had been over for so much longer."""
        self.assertEqual(d.stop(), 0)
        with sqlite3.connect(os.path.join(d.state, "awaitd.db")) as db:
            db.execute("UPDATE submit_key SET expires = expires - ?", (hours * HOUR * 1000,))
        db.close()
        d.start()

    def test_keys_are_known_for_so_long(self):
        d = self.daemon(config="[jobs]\nkey_keep = 3d\n")

        def submit(key):
            with d.client() as c:
                job = c.submit("timer", sleep=0, key=key)
                c.wait_one(job["id"])
                return job["id"], job["existing"]
        first, _ = submit("k")
        self.age(d, 3 * 24 - 1)
        self.assertEqual(submit("k"), (first, True))
        with d.client() as c:
            c.call("job.remove", {"ids": [first]})
        self.age(d, 1)
        self.assertEqual(submit("k")[1], False)


class Check(TestCase):
    """[storage] check_max."""

    def test_a_large_database_is_not_looked_through(self):
        for limit, words in (("1G", "checking"), ("4K", "too large for a check"),
                             ("0", "too large for a check")):
            with self.subTest(limit):
                d = self.daemon(config=f"[storage]\ncheck_max = {limit}\n")
                d.kill9()
                d.start()
                self.assertIn("awaitd was not stopped in order; ", d.log())
                self.assertIn(words, d.log())

    def test_after_an_orderly_stop_none_is(self):
        d = self.daemon(config="[storage]\ncheck_max = 1G\n")
        d.restart()
        self.assertNotIn("checking", d.log())


class BackOff(TestCase):
    """[jobs] retry_factor, retry_max_delay."""

    def second_waits(self, d, *retries):
        """How long failing workers wait after their second attempt, from its end to when due."""
        with d.client() as c:
            c.call("events.subscribe")
            script = d.shell("exit 1")
            numbers = [c.call("job.submit", {**script, "retry": {"max": 5, **r}})["id"]
                       for r in retries]
            ended, waits = {}, []
            while set(ended) != set(numbers):
                event = c.note("event", timeout=60)
                if (event["type"], event["attempt"]) == ("waiting", 2):
                    ended[event["job"]["id"]] = parse_time(event["time"])
            for number in numbers:
                job = c.get(number)
                self.assertEqual((job["attempt"], job["reason"]), (2, "backoff"), job)
                waits.append(round(parse_time(job["due_at"]) - ended[number], 3))
            c.call("job.cancel", {"ids": numbers})
            c.wait(*numbers)
            return waits

    def test_factor_and_most(self):
        text = ("[jobs]\nretry_delay = 1s\nretry_jitter = 0\nretry_factor = {}\n"
                "retry_max_delay = {}\n")
        d = self.daemon(config=text.format(90, "5min"))
        self.assertEqual(self.second_waits(d, {}, {"factor": 100}, {"max_delay": 70}),
                         [90, 100, 70])
        d.write_config(text.format(97.5, "80s"))
        with d.client() as c:
            self.assertEqual(c.call("daemon.reload", {})["needs_restart"], [])
        self.assertEqual(self.second_waits(d, {}, {"factor": 70}, {"max_delay": "2min"}),
                         [80, 70, 97.5])


if __name__ == "__main__":
    main()
