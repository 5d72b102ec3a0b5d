#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""kill -9 at random moments under load: each acknowledged job is there once, with one outcome.

The judge does not trust the daemon.  Clients log what they sent and what was
acknowledged, in their own order; workers log every start themselves, to a
file opened for appending.  After the last round these are compared with what
the daemon says.
"""
import collections
import json
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import Client, Gone, IS_SLOW, Late, SEED, TestCase, main, sleep_until, wait_until

ROUNDS = int(os.environ.get("AWAITD_TEST_ROUNDS") or (6 if IS_SLOW else 20))
CLIENTS = 3
DEPTH = 16  # requests under way per connection


class Load(threading.Thread):
    """One client: submits without pause, sees jobs end, cancels some, until the daemon dies."""

    def __init__(self, story, number):
        super().__init__(daemon=True)
        self.story, self.number = story, number
        self.chance = random.Random(f"{SEED} {number} {story.round}")
        self.sent, self.acknowledged, self.cancelled, self.seen = [], {}, [], {}
        self.error = None
        self.count = 0

    def document(self):
        self.count += 1
        name = f"r{self.story.round}c{self.number}n{self.count}"
        what = self.chance.randrange(10)
        if what < 5:
            document = {"kind": "timer", "sleep": self.chance.choice((0, 0.01, 0.2, 2))}
        elif what < 7:
            document = {"kind": "timer", "sleep": 0, "delay": self.chance.choice((0.1, 1, 3))}
        else:
            document = self.story.d.shell(
                f'echo "$AWAITD_JOB_ID $AWAITD_ATTEMPT" >> {self.story.journal}',
                on_lost=self.chance.choice(("fail", "retry")))
            if self.story.n_workers >= 40:
                document = {"kind": "timer", "sleep": 0}
            else:
                self.story.n_workers += 1
        document["name"] = name
        if self.chance.randrange(3) == 0:
            document["key"] = "key-" + name
        return document

    def run(self):
        try:
            with Client(self.story.d.socket, timeout=10) as c:
                self.load(c)
        except (Gone, OSError):
            pass  # the kill, which is the point
        except Late as e:
            self.error = e
        except Exception as e:
            self.error = e

    def load(self, c):
        asked = collections.deque()
        while True:
            while len(asked) < DEPTH:
                document = self.document()
                self.sent.append(document)
                asked.append((c.request("job.submit", document), document))
            number, document = asked.popleft()
            job = c.reply(number)
            self.acknowledged[document["name"]] = job["id"]
            if self.chance.randrange(8) == 0:
                answer = c.request("job.cancel", {"ids": [job["id"]]})
                try:
                    c.reply(answer)
                    self.cancelled.append(job["id"])
                except Exception as e:
                    if getattr(e, "word", None) != "wrong_state":
                        raise
            if self.chance.randrange(8) == 0:
                look = c.call("job.get", {"id": job["id"]})
                if look["state"] == "done":
                    self.seen[job["id"]] = look


class Kill9(TestCase):
    limit = max(300, 10 * ROUNDS)

    def setUp(self):
        self.d = self.daemon()
        self.journal = os.path.join(self.d.home, "journal")
        self.round = 0
        self.n_workers = 0

    def test_rounds(self):
        chance = random.Random(SEED)
        loads = []
        slowest = 0
        for self.round in range(ROUNDS):
            self.n_workers = 0
            now = [Load(self, n) for n in range(CLIENTS)]
            for load in now:
                load.start()
            sleep_until(time.monotonic() + chance.uniform(0.02, 0.6))
            self.d.kill9()
            for load in now:
                load.join(30)
                self.assertFalse(load.is_alive())
                self.assertIsNone(load.error)
            loads += now
            self.d.check_supervisors_gone()
            wait_until(lambda: not self.d.leftovers(), 15, "a killed daemon leaves no worker")
            slowest = max(slowest, self.d.start())
            self.compare(now)
        c = self.client(self.d)
        unfinished = c.list_all(state=["waiting", "running", "stopping"])
        for start in range(0, len(unfinished), 1000):
            c.wait(*(j["id"] for j in unfinished[start:start + 1000]), timeout=60)
        self.compare(loads)
        self.judge_ends(loads)
        n = sum(len(load.acknowledged) for load in loads)
        print(f"\n{ROUNDS} rounds, {n} acknowledged of "
              f"{sum(len(load.sent) for load in loads)} sent, slowest start {slowest:.2f} s",
              flush=True)
        self.assertGreater(n, ROUNDS * 5, "hardly any load")

    def compare(self, loads):
        """Everything acknowledged is there, once, as it was sent; nothing else is there."""
        jobs = self.client(self.d).list_all()
        by_name = collections.defaultdict(list)
        for job in jobs:
            by_name[job["name"]].append(job)
        self.assertEqual(len({j["id"] for j in jobs}), len(jobs))
        for load in loads:
            for document in load.sent:
                name = document["name"]
                found = by_name.get(name, [])
                self.assertLessEqual(len(found), 1, f"{name} is there twice")
                if name in load.acknowledged:
                    self.assertEqual([j["id"] for j in found], [load.acknowledged[name]],
                                     f"{name} was acknowledged")
                    self.assertEqual(found[0]["kind"], document["kind"])
            for number, seen in load.seen.items():
                now = by_name[seen["name"]][0]
                self.assertEqual((now["outcome"], now["ended_at"], now["attempt"]),
                                 (seen["outcome"], seen["ended_at"], seen["attempt"]),
                                 f"job {number} was done and has changed")
        names = {document["name"] for load in loads for document in load.sent}
        if len(loads) > CLIENTS:
            self.assertEqual([n for n in by_name if n not in names], [])

    def judge_ends(self, loads):
        starts = collections.Counter()
        with open(self.journal, "a+", encoding="ascii") as f:
            f.seek(0)
            for line in f:
                number, attempt = line.split()
                starts[int(number), int(attempt)] += 1
        self.assertEqual([k for k, n in starts.items() if n > 1], [], "an attempt ran twice")
        sent = {load.acknowledged.get(d["name"]): d for load in loads for d in load.sent}
        cancelled = {n for load in loads for n in load.cancelled}
        runs = collections.Counter(number for number, _ in starts)
        for job in self.client(self.d).list_all():
            self.assertEqual(job["state"], "done", job)
            self.assertIn(job["outcome"], ("succeeded", "cancelled", "lost"), job)
            if job["id"] in cancelled:
                self.assertEqual(job["outcome"], "cancelled", job)
            document = sent.get(job["id"])
            if document is None:
                continue
            if job["kind"] == "timer":
                self.assertNotEqual(job["outcome"], "lost", "a timer is never cut off")
            elif document["on_lost"] == "fail":
                self.assertLessEqual(runs[job["id"]], 1, f"at most once: {json.dumps(job)}")
                self.assertLessEqual(job["attempt"], 1)
            if job["kind"] == "worker" and job["outcome"] == "succeeded":
                self.assertGreaterEqual(runs[job["id"]], 1, f"it did not run: {json.dumps(job)}")

    def test_key_after_a_lost_reply(self):
        """The client saw no answer and sends again: the same job, whatever became of the first."""
        c = self.client(self.d)
        keys = [f"again-{n}" for n in range(50)]
        for key in keys:
            c.request("job.submit", {"kind": "timer", "sleep": 0, "key": key})
        self.d.kill9()
        self.d.start()
        c = self.client(self.d)
        first = [c.submit("timer", sleep=0, key=key)["id"] for key in keys]
        second = [c.submit("timer", sleep=0, key=key) for key in keys]
        self.assertEqual([j["id"] for j in second], first)
        self.assertTrue(all(j["existing"] for j in second))
        self.assertEqual(len(c.list_all()), len(keys))


if __name__ == "__main__":
    main()
