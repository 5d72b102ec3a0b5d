#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Queues: limits, the order in which jobs start, pause and resume."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import RpcError, TestCase, main, parse_time, wait_until


class Queues(TestCase):
    def setUp(self):
        self.d = self.daemon()
        self.c = self.client(self.d)

    def queue(self, name):
        found = [q for q in self.c.call("queue.list")["queues"] if q["name"] == name]
        return found[0] if found else None

    def submit(self, script="true", **keys):
        return self.c.call("job.submit", self.d.shell(script, **keys))["id"]

    def test_built_in(self):
        cpus = len(os.sched_getaffinity(0))
        self.assertEqual(self.queue("fetch")["limit"], 64)
        self.assertIn(self.queue("worker")["limit"], {max(4, 2 * cpus), max(4, 2 * os.cpu_count())})
        for name in ("fetch", "worker"):
            self.assertEqual(self.queue(name), {**self.queue(name), "name": name, "paused": False,
                                                "running": 0, "waiting": 0})

    def test_own_queue_and_unknown_one(self):
        with self.assertRaises(RpcError) as caught:
            self.submit(queue="mine")
        self.assertEqual(caught.exception.word, "not_found")
        self.assertEqual(self.c.call("queue.set", {"name": "mine", "limit": 5}),
                         {"name": "mine", "limit": 5, "paused": False, "running": 0,
                          "waiting": 0})
        job = self.c.get(self.submit(queue="mine"))
        self.assertEqual(job["queue"], "mine")
        self.assertIsNone(self.c.submit("timer", sleep=0)["queue"], "timers have no queue")

    def overlap(self, jobs):
        """The most attempts that ran at once, by the jobs' own times."""
        marks = sorted([(parse_time(j["started_at"]), 1) for j in jobs]
                       + [(parse_time(j["ended_at"]), -1) for j in jobs],
                       key=lambda m: (m[0], m[1]))
        most = now = 0
        for _, step in marks:
            now += step
            most = max(most, now)
        return most

    def test_limit(self):
        self.c.call("queue.set", {"name": "three", "limit": 3})
        numbers = [self.submit("sleep 0.2", queue="three") for _ in range(10)]
        wait_until(lambda: self.queue("three")["running"] == 3, 10, "three run")
        self.assertEqual(self.queue("three")["waiting"] + 3, 10)
        waiting = [j for j in self.c.list_all(state="waiting")]
        self.assertEqual({j["reason"] for j in waiting}, {"slot"})
        jobs = self.c.wait(*numbers)
        for job in jobs:
            self.assert_done(job)
        self.assertEqual(self.overlap(jobs), 3)

    def test_raising_the_limit_starts_more(self):
        self.c.call("queue.set", {"name": "q", "limit": 1})
        numbers = [self.submit("sleep 600", queue="q") for _ in range(4)]
        wait_until(lambda: self.queue("q")["running"] == 1, 10, "one runs")
        self.c.call("queue.set", {"name": "q", "limit": 3})
        wait_until(lambda: self.queue("q")["running"] == 3, 10, "three run")
        self.c.call("queue.set", {"name": "q", "limit": 1})
        self.assertEqual(self.queue("q")["running"], 3, "a lower limit ends nothing")
        self.c.call("job.cancel", {"ids": numbers})
        self.c.wait(*numbers)

    def started_order(self, numbers):
        path = os.path.join(self.d.home, "order")
        self.c.wait(*numbers)
        with open(path, encoding="ascii") as f:
            return [int(line) for line in f]

    def ordered(self, priorities):
        """Ids of workers that log their start, submitted to a paused queue of one."""
        self.c.call("queue.set", {"name": "one", "limit": 1})
        self.c.call("queue.pause", {"name": "one"})
        path = os.path.join(self.d.home, "order")
        numbers = [self.submit(f"echo $AWAITD_JOB_ID >> {path}", queue="one", priority=p)
                   for p in priorities]
        self.c.call("queue.resume", {"name": "one"})
        return numbers

    def test_submit_order(self):
        numbers = self.ordered([0] * 8)
        self.assertEqual(self.started_order(numbers), numbers)

    def test_priority_order(self):
        priorities = [0, 5, -3, 5, 1000, -1000, 0]
        numbers = self.ordered(priorities)
        wanted = [n for _, n in sorted(zip(priorities, numbers), key=lambda x: (-x[0], x[1]))]
        self.assertEqual(self.started_order(numbers), wanted)

    def test_pause(self):
        self.c.call("queue.set", {"name": "q", "limit": 4})
        self.assertTrue(self.c.call("queue.pause", {"name": "q"})["paused"])
        number = self.submit(queue="q")
        job = wait_until(lambda: (j := self.c.get(number))["reason"] == "paused" and j, 10,
                         "it waits because of the pause")
        self.assertEqual((job["state"], job["attempt"]), ("waiting", 0))
        other = self.submit()
        self.assert_done(self.c.wait_one(other))
        self.assertEqual(self.c.get(number)["state"], "waiting", "only its queue is paused")
        self.assertFalse(self.c.call("queue.resume", {"name": "q"})["paused"])
        self.assert_done(self.c.wait_one(number))

    def test_pause_lets_running_jobs_run(self):
        number = self.submit("sleep 0.5")
        self.c.wait_state(number, "running")
        self.c.call("queue.pause", {"name": "worker"})
        self.assert_done(self.c.wait_one(number))

    def test_delayed_job_takes_no_slot(self):
        self.c.call("queue.set", {"name": "one", "limit": 1})
        later = self.submit(queue="one", delay=600)
        self.assert_done(self.c.wait_one(self.submit(queue="one")))
        self.assertEqual(self.c.get(later)["reason"], "time")
        self.c.call("job.cancel", {"ids": [later]})

    def test_command_line(self):
        r = self.d.ctl("queue", "set", "mine", "--limit", "7")
        self.assertEqual(r.status, 0, r)
        self.assertEqual(self.queue("mine")["limit"], 7)
        self.assertEqual(self.d.ctl("queue", "pause", "mine").status, 0)
        self.assertTrue(self.queue("mine")["paused"])
        self.assertEqual(self.d.ctl("queue", "resume", "mine").status, 0)
        r = self.d.ctl("--json", "queue", "list")
        self.assertEqual(r.status, 0, r)
        self.assertEqual(sorted(q["name"] for q in r.json["queues"]), ["fetch", "mine", "worker"])
        self.assertEqual(self.d.ctl("queue", "pause", "nowhere").status, 4)


if __name__ == "__main__":
    main()
