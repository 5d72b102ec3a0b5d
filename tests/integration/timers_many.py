#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""100,000 timers: all succeed, none is early, few are late, the daemon answers meanwhile."""
import gc
import json
import os
import random
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import (IS_SLOW, SEED, TestCase, WRAPPER, busy_factor, main, parse_time,
                         scaled)

N = 1000 if WRAPPER else 10000 if IS_SLOW else 100000
SPREAD = 10.0       # sleeps are drawn from 0 ... this, in milliseconds' steps
P99 = 0.050         # lateness of all but one in a hundred
ANSWER = 0.100      # the longest answer of daemon.info
JITTER = 0.0015     # times are told in milliseconds: two roundings


class Pinger(threading.Thread):
    """Asks daemon.info again and again and keeps how long the answers took."""

    def __init__(self, client):
        super().__init__(daemon=True)
        self.client = client
        self.took = []
        self.is_over = threading.Event()
        self.error = None

    def run(self):
        try:
            while not self.is_over.wait(0.02):
                began = time.monotonic()
                self.client.call("daemon.info")
                self.took.append(time.monotonic() - began)
        except Exception as e:  # told by the test, not by this thread
            self.error = e

    def stop(self):
        self.is_over.set()
        self.join()
        return sorted(self.took)


class TimersMany(TestCase):
    limit = 180

    def test_timers(self):
        # Looking through 100,000 jobs for garbage stops the Pinger for longer than ANSWER.
        gc.disable()
        self.addCleanup(gc.enable)
        d = self.daemon()
        chance = random.Random(SEED)
        sleeps = [chance.randrange(int(SPREAD * 1000)) / 1000 for _ in range(N)]
        pinger = Pinger(self.client(d))
        with tempfile.TemporaryFile("w+") as f:
            for s in sleeps:
                f.write(json.dumps({"kind": "timer", "sleep": s}) + "\n")
            f.flush()
            f.seek(0)
            pinger.start()  # not before: this process was too busy to measure anything
            began = time.monotonic()
            p = d.ctl_spawn("submit", "-f", "-", stdin=f)
            out, err = p.communicate(timeout=scaled(100))
        submitted = time.monotonic() - began
        self.assertEqual(p.returncode, 0, err)
        ids = [int(line) for line in out.split()]
        self.assertEqual(len(set(ids)), N)
        c = self.client(d)
        for start in range(0, N, 1000):
            c.wait(*ids[start:start + 1000], timeout=60)
        jobs = {j["id"]: j for j in c.list_all()}
        pings = pinger.stop()
        factor = busy_factor(d.process.pid)
        self.assertIsNone(pinger.error)
        self.assertEqual(len(jobs), N, "every timer once")
        late = []
        for number, wanted in zip(ids, sleeps):
            job = self.assert_done(jobs[number])
            late.append(parse_time(job["ended_at"]) - parse_time(job["started_at"]) - wanted)
        late.sort()
        p99 = late[int(N * 0.99)]
        print(f"\n{N} timers: submitted in {submitted:.2f} s; lateness median "
              f"{late[N // 2] * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms, most {late[-1] * 1e3:.1f} ms; "
              f"{len(pings)} daemon.info meanwhile, longest {pings[-1] * 1e3:.1f} ms; "
              f"the loop needed {factor:.2f} times as long for others' work", flush=True)
        self.assertGreaterEqual(late[0], -JITTER, "none is early")
        if not IS_SLOW:
            self.assertLess(p99, P99 * factor)
            self.assertLess(pings[-1], ANSWER * factor, "daemon.info answers all the while")


if __name__ == "__main__":
    main()
