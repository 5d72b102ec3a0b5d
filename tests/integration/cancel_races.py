#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A cancel that races with an end, a start, a retry or the release of a need.

Whoever wins: each job has one outcome and one end event, a cancel that was accepted of a job
that did not stop already for another reason ends it as cancelled, and what was cancelled before
it started never starts.
"""
import collections
import contextlib
import os
import random
import sqlite3
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import IS_SLOW, RpcError, SEED, TestCase, main

RACES = int(os.environ.get("AWAITD_TEST_RACES") or (200 if IS_SLOW else 1000))
BATCH = 50


class CancelRaces(TestCase):
    limit = 1800

    def setUp(self):
        print(f"seed {SEED}, {RACES} races of each sort", flush=True)
        self.chance = random.Random(SEED)
        self.d = self.daemon()
        self.c = self.client(self.d)

    def race(self, make):
        """@make gives the documents of one race and the place of the one to cancel."""
        accepted, refused, ids = set(), {}, []
        for _ in range(0, RACES, BATCH):
            batch = []
            for _ in range(BATCH):
                docs, at = make()
                got = self.c.call("job.submit_many", {"jobs": docs})["ids"]
                ids += got
                batch.append((self.chance.uniform(0, 0.02), got[at]))
            began = time.monotonic()
            asked = []
            for offset, number in sorted(batch):
                while time.monotonic() < began + offset / 4:
                    pass  # the moment is what this is about
                asked.append((number, self.c.request("job.cancel", {"ids": [number]})))
            for number, request in asked:
                try:
                    self.c.reply(request)
                    accepted.add(number)
                except RpcError as e:
                    self.assertEqual(e.word, "wrong_state")
                    refused[number] = e.data["outcome"]
        outcomes = collections.Counter()
        for start in range(0, len(ids), 500):
            for job in self.c.wait(*ids[start:start + 500]):
                outcomes[job["outcome"]] += 1
                if job["id"] in accepted and job["outcome"] != "cancelled":
                    # It was stopping because of its timeout, in its last attempt.
                    self.assert_done(job, "timed_out")
                    self.assertEqual(job["attempts_left"], 0)
                    self.assertEqual(job["attempt"], 1 + job["spec"]["retry"]["max"])
                elif job["id"] in refused:
                    self.assert_done(job, refused[job["id"]])
                if job["outcome"] in ("cancelled", "skipped") and job["attempt"] == 0:
                    self.assertIsNone(job["started_at"])
        print(f"{self.id().rpartition('.')[2]}: {dict(outcomes)}, {len(accepted)} accepted",
              flush=True)
        self.check_events(set(ids))

    def check_events(self, ids):
        self.assertEqual(self.d.stop(), 0)
        with contextlib.closing(sqlite3.connect(os.path.join(self.d.state, "awaitd.db"))) as db:
            ends = collections.Counter(
                job for job, in db.execute("SELECT job FROM event WHERE state = 'done'"))
        self.assertEqual({number: n for number, n in ends.items() if n != 1}, {})
        self.assertEqual(set(ends), ids)

    def test_with_completion(self):
        self.race(lambda: ([{"kind": "timer", "sleep": self.chance.uniform(0, 0.02)}], 0))

    def test_with_start(self):
        self.race(lambda: ([{"kind": "timer", "sleep": 0,
                             "delay": self.chance.uniform(0, 0.02)}], 0))

    def test_with_retry(self):
        """A timer that times out and is tried again after a moment, again and again."""
        self.race(lambda: ([{"kind": "timer", "sleep": 10, "timeout": 0.001,
                             "retry": {"max": 3, "delay": self.chance.uniform(0, 0.006),
                                       "factor": 1}}], 0))

    def test_with_release_of_a_need(self):
        self.race(lambda: ([{"kind": "timer", "sleep": self.chance.uniform(0, 0.02)},
                            {"kind": "timer", "sleep": 0, "needs": ["@0"]}],
                           self.chance.randrange(2)))

    def test_with_the_end_of_a_part(self):
        def make():
            return ([{"kind": self.chance.choice(("gather", "sequence", "race")),
                      "jobs": [{"kind": "timer", "sleep": self.chance.uniform(0, 0.01)}] * 2}], 0)
        self.race_trees(make)

    def race_trees(self, make):
        """As race(), of compositions: the parts' ids are not in the answer."""
        roots = []
        for _ in range(0, RACES, BATCH):
            batch = [self.c.submit(**make()[0][0])["id"] for _ in range(BATCH)]
            roots += batch
            for number in batch:
                with contextlib.suppress(RpcError):
                    self.c.call("job.cancel", {"ids": [number]})
        for start in range(0, len(roots), 500):
            self.c.wait(*roots[start:start + 500])
        jobs = self.c.list_all()
        self.assertEqual({j["state"] for j in jobs}, {"done"})
        self.check_events({j["id"] for j in jobs})


if __name__ == "__main__":
    main()
