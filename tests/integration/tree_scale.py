#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Large compositions and long chains: time and memory grow with the number of jobs, not faster.

Prints what it measured.  The limits are wide, since other tests may run beside it: what grows with
the square would exceed them by far.
"""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import IS_SLOW, TestCase, main

SMALL, LARGE = (100, 1000) if IS_SLOW else (1000, 10000)
# Ten times as many may take so many times as long.
GROWTH = 30


def memory_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        for line in f:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0


class TreeScale(TestCase):
    limit = 300

    def measure(self, name, submit):
        """@submit(c, n) submits n jobs and gives the id whose end is the end."""
        took = {}
        for n in (SMALL, LARGE):
            d = self.daemon()
            c = self.client(d, timeout=120)
            before = memory_kib(d.pid)
            began = time.monotonic()
            number = submit(c, n)
            submitted = time.monotonic() - began
            peak = memory_kib(d.pid)
            self.assert_done(c.wait_one(number, timeout=120))
            took[n] = time.monotonic() - began
            peak = max(peak, memory_kib(d.pid))
            print(f"{name}: {n} jobs: submitted in {submitted:.2f} s, done after {took[n]:.2f} s, "
                  f"{(peak - before) * 1024 // n} bytes of memory a job", flush=True)
            self.assertEqual(d.stop(), 0)
        self.assertLess(took[LARGE], GROWTH * max(took[SMALL], 0.05), name)

    def test_gather_of_timers(self):
        def submit(c, n):
            return c.submit("gather", jobs=[{"kind": "timer", "sleep": 0.1}] * n)["id"]
        self.measure("a gather of timers", submit)

    def test_chain_of_needs(self):
        def submit(c, n):
            last = None
            for start in range(0, n, 2000):  # as many as a request line holds
                jobs = []
                for i in range(min(2000, n - start)):
                    needs = [f"@{i - 1}"] if i else [last] if last else []
                    jobs.append({"kind": "timer", "sleep": 0, "needs": needs})
                last = c.call("job.submit_many", {"jobs": jobs})["ids"][-1]
            return last
        self.measure("a chain of needs", submit)

    def test_many_gathers(self):
        def submit(c, n):
            docs = [{"kind": "gather", "jobs": [{"kind": "timer", "sleep": 0.1}] * 10}] * (n // 10)
            ids = []
            for start in range(0, len(docs), 500):
                ids += c.call("job.submit_many", {"jobs": docs[start:start + 500]})["ids"]
            c.wait(*ids, timeout=120)
            return ids[-1]
        self.measure("gathers of ten", submit)


if __name__ == "__main__":
    main()
