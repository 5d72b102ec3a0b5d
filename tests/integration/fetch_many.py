#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""1,000 fetches of a server that waits 100 ms: as fast as the queue lets them, no threads."""
import math
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import IS_SLOW, TestCase, main

N = 400 if IS_SLOW else 1000
LIMIT = 256
DELAY = 0.1
SLACK = 30  # what a busy machine may need; one after the other they would take 100 s
# The resolver, the store, file work and the log may have threads; transfers may not.
MOST_THREADS = 24


class FetchMany(TestCase):
    def test_fetches(self):
        d = self.daemon()
        web = self.web()
        c = self.client(d)
        c.call("queue.set", {"name": "fetch", "limit": LIMIT})
        # Warm: the first fetch pays for what is loaded late.
        self.assert_done(c.wait_one(c.submit("fetch", url=web.url("/delay/0/warm?size=1"))["id"]))
        documents = [{"kind": "fetch", "url": web.url(f"/delay/{DELAY}/f{n}?size=64"),
                      "output": f"out/f{n}"} for n in range(N)]
        os.mkdir(os.path.join(d.home, "out"))
        began = time.monotonic()
        ids = c.call("job.submit_many", {"jobs": documents})["ids"]
        most_threads = 0
        left = c.request("job.wait", {"ids": ids, "timeout": None})
        watcher = self.client(d)
        while True:
            most_threads = max(most_threads, d.threads())
            queue = [q for q in watcher.call("queue.list")["queues"] if q["name"] == "fetch"][0]
            self.assertLessEqual(queue["running"], LIMIT)
            if queue["running"] == 0 and queue["waiting"] == 0:
                break
            time.sleep(0.02)
        jobs = c.reply(left, 60)["jobs"]
        took = time.monotonic() - began
        ideal = math.ceil(N / LIMIT) * DELAY
        print(f"\n{N} fetches in {took:.2f} s (ideal {ideal:.2f} s), "
              f"at most {most_threads} threads", flush=True)
        for job in jobs:
            self.assert_done(job)
            self.assertEqual(job["result"]["bytes"], 64)
        self.assertEqual(len(os.listdir(os.path.join(d.home, "out"))), N)
        self.assertLess(took, ideal + SLACK)
        self.assertGreaterEqual(took, ideal)
        self.assertLessEqual(most_threads, MOST_THREADS, "a thread per transfer?")

    def test_the_limit_holds_and_can_change(self):
        d = self.daemon()
        web = self.web()
        c = self.client(d)
        c.call("queue.set", {"name": "fetch", "limit": 2})
        ids = c.call("job.submit_many", {"jobs": [
            {"kind": "fetch", "url": web.url(f"/delay/0.2/f{n}?size=8")} for n in range(8)]})["ids"]
        began = time.monotonic()
        for job in c.wait(*ids):
            self.assert_done(job)
        self.assertGreaterEqual(time.monotonic() - began, 0.7, "two at a time take four rounds")


if __name__ == "__main__":
    main()
