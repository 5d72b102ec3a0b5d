#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""awaitctl stats --openmetrics: the format's rules, and figures that agree with what happened."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import TestCase, main

SAMPLE = re.compile(r'([a-z_:][a-z0-9_:]*)(\{[a-z_]+="(?:[^"\\\n]|\\["\\n])*"\})? (\S+)')
# What the interface says daemon.stats has: each by one of its families.
PROMISED = ["awaitd_jobs", "awaitd_jobs_done", "awaitd_queue_running", "awaitd_queue_waiting",
            "awaitd_store_commits", "awaitd_fetch_received_bytes", "awaitd_loop_lag_max_seconds",
            "awaitd_memory_resident_bytes", "awaitd_store_wal_bytes", "awaitd_log_dropped",
            "awaitd_connections"]


class Metrics(TestCase):
    def read(self, d):
        """name and labels -> value, after a look at the form."""
        p = d.ctl("stats", "--openmetrics")
        self.assertEqual(p.status, 0, p)
        self.assertTrue(p.out.endswith("\n# EOF\n"), p.out[-100:])
        families, samples, family = {}, {}, None
        for line in p.out.splitlines()[:-1]:
            m = re.fullmatch(r"# (TYPE|UNIT|HELP) (\S+) (.+)", line)
            if m:
                if m.group(1) == "TYPE":
                    family = m.group(2)
                    self.assertNotIn(family, families, "a family is in one piece")
                    families[family] = m.group(3)
                self.assertEqual(m.group(2), family)
                if m.group(1) == "UNIT":
                    self.assertTrue(family.endswith("_" + m.group(3)), line)
                continue
            m = SAMPLE.fullmatch(line)
            self.assertTrue(m, line)
            suffix = {"counter": "_total", "gauge": ""}[families[family]]
            self.assertEqual(m.group(1), family + suffix, line)
            name = m.group(1) + (m.group(2) or "")
            self.assertNotIn(name, samples)
            samples[name] = float(m.group(3))
        for name in PROMISED:
            self.assertIn(name, families)
        return samples

    def test_figures(self):
        d = self.daemon()
        c = self.client(d)
        web = self.web()
        c.call("queue.set", {"name": 'odd "\\ name', "limit": 3})
        c.call("queue.pause", {"name": 'odd "\\ name'})
        before = self.read(d)
        self.assertEqual(before['awaitd_queue_paused{queue="odd \\"\\\\ name"}'], 1)
        self.assertEqual(before['awaitd_queue_limit{queue="odd \\"\\\\ name"}'], 3)
        good = c.submit("fetch", url=web.url("/bytes/5000"))["id"]
        bad = c.call("job.submit", d.shell("exit 1"))["id"]
        waiting = c.submit("timer", sleep=0, delay=600)["id"]
        c.wait(good, bad)
        after = self.read(d)
        self.assertEqual(after['awaitd_jobs_done{outcome="succeeded"}'], 1)
        self.assertEqual(after['awaitd_jobs_done{outcome="failed"}'], 1)
        self.assertEqual(after['awaitd_jobs{state="waiting"}'], 1)
        self.assertEqual(after["awaitd_jobs_ended_total"], 2)
        self.assertEqual(after["awaitd_fetch_received_bytes_total"], 5000)
        self.assertGreater(after["awaitd_store_commits_total"],
                           before["awaitd_store_commits_total"])
        self.assertGreater(after["awaitd_memory_resident_bytes"], 1 << 20)
        c.call("job.cancel", {"ids": [waiting]})

    def test_usage(self):
        d = self.daemon()
        self.assertEqual(d.ctl("--json", "stats", "--openmetrics").status, 2)


if __name__ == "__main__":
    main()
