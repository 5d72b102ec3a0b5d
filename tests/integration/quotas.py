#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What one user may have: unfinished jobs and their documents, exact across restarts."""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import RpcError, TestCase, main

USER = (65534, 65534)  # nobody: root is exempt


@unittest.skipUnless(os.getuid() == 0, "needs root, to be a user whom quotas concern")
class Quotas(TestCase):
    def start(self, config):
        d = self.daemon(start=False, config=config, user=USER)
        os.chmod(d.config, 0o644)
        d.start()
        return d

    def as_user(self, d):
        return self.client(d, ids=USER)

    def refused(self, c, method, params, quota, used):
        e = c.call_error(method, params)
        self.assertEqual((e.code, e.data["code"]), (-32005, "limit"), e.data)
        self.assertEqual((e.data["quota"], e.data["used"]), (quota, used), e.data)
        self.assertIn(f"quotas.{quota}", str(e))
        return e

    def test_unfinished_jobs(self):
        d = self.start("[quotas]\nunfinished_jobs = 5\n")
        c = self.as_user(d)
        self.assertEqual(c.call("daemon.info")["limits"]["unfinished_jobs"], 5)
        self.assertIsNone(c.call("daemon.info")["limits"]["document_bytes"])
        waiting = {"kind": "timer", "sleep": 0, "delay": 600}
        ids = [c.call("job.submit", waiting)["id"] for _ in range(3)]
        self.refused(c, "job.submit_many", {"jobs": [waiting] * 3}, "unfinished_jobs", 3)
        ids += c.call("job.submit_many", {"jobs": [waiting] * 2})["ids"]
        self.refused(c, "job.submit", waiting, "unfinished_jobs", 5)
        # Root is exempt, whosesoever daemon it is.
        root = self.client(d)
        more = root.call("job.submit_many", {"jobs": [waiting] * 10})["ids"]
        # A restart counts the same.
        d.restart()
        c, root = self.as_user(d), self.client(d)
        self.refused(c, "job.submit", waiting, "unfinished_jobs", 5)
        c.call("job.cancel", {"ids": ids[:1]})
        c.wait(ids[0])
        # A known key takes nothing of the quota.
        first = c.call("job.submit", {**waiting, "key": "k"})
        c.call("job.cancel", {"ids": ids[1:2]})
        c.wait(ids[1])
        for _ in range(3):
            self.assertTrue(c.call("job.submit", {**waiting, "key": "k"})["existing"])
        e = c.call_error("job.submit", {**waiting, "key": "k", "delay": 5})
        self.assertEqual(e.data["code"], "conflict")
        last = c.call("job.submit", waiting)
        self.refused(c, "job.submit", waiting, "unfinished_jobs", 5)
        # What has ended does not count, whichever way it ended.
        d.write_config("[quotas]\nunfinished_jobs = 6\n")
        os.chmod(d.config, 0o644)
        self.assertEqual(root.call("daemon.reload")["needs_restart"], [])
        for _ in range(4):
            c.wait_one(c.call("job.submit", {"kind": "timer", "sleep": 0})["id"])
        root.call("job.cancel", {"ids": ids[2:] + more + [first["id"], last["id"]]})

    def test_document_bytes(self):
        d = self.start("[quotas]\ndocument_bytes = 10K\n")
        c = self.as_user(d)
        big = {"kind": "timer", "sleep": 0, "delay": 600, "value": "ä" * 2000}  # 4,000 bytes
        ids = [c.call("job.submit", big)["id"] for _ in range(2)]
        used = c.call_error("job.submit", big).data["used"]
        self.assertTrue(8000 < used < 8400, used)
        d.restart()
        c = self.as_user(d)
        self.refused(c, "job.submit", big, "document_bytes", used)
        c.call("job.cancel", {"ids": ids[:1]})
        c.wait(ids[0])
        ids.append(c.call("job.submit", big)["id"])
        self.refused(c, "job.submit", big, "document_bytes", used)
        c.call("job.cancel", {"ids": ids[1:]})

    def test_none_in_a_user_instance(self):
        d = self.start("")
        limits = self.as_user(d).call("daemon.info")["limits"]
        self.assertEqual((limits["unfinished_jobs"], limits["document_bytes"]), (None, None))

    def test_defaults_of_the_system_instance(self):
        d = self.daemon(start=False, user=USER)
        command = [w if w != "--user" else "--system" for w in d.command()]
        d.command = lambda *more: command + list(more)
        d.start()
        limits = self.client(d).call("daemon.info")["limits"]
        self.assertEqual((limits["unfinished_jobs"], limits["document_bytes"]),
                         (100000, 256 << 20))


if __name__ == "__main__":
    main()
