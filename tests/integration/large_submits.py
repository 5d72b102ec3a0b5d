#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Submits of many documents, checked beside the loop: order, all or none, those who leave."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import Gone, RpcError, TestCase, main, wait_until

MANY = 5000
LONG = {"kind": "timer", "sleep": 3600}


class LargeSubmits(TestCase):
    def setUp(self):
        self.d = self.daemon()
        self.c = self.client(self.d, timeout=60)

    def test_requests_of_a_connection_keep_their_order(self):
        """Sent in one go, each sees what was asked for before it."""
        first = self.c.request("job.submit_many", {"jobs": [LONG] * MANY})
        second = self.c.request("job.submit", {"kind": "gather", "jobs": [LONG] * MANY})
        third = self.c.request("job.submit", {**LONG, "needs": [MANY + 1]})
        listed = self.c.request("job.list", {"order": "-id", "limit": 1})
        self.assertEqual(self.c.reply(first)["ids"], list(range(1, MANY + 1)))
        self.assertEqual(self.c.reply(second)["id"], MANY + 1)
        last = 2 * MANY + 2
        self.assertEqual(self.c.reply(third)["id"], last)
        self.assertEqual([j["id"] for j in self.c.reply(listed)["jobs"]], [last])

    def test_in_a_batch_too(self):
        self.c.send([{"jsonrpc": "2.0", "id": 1, "method": "job.submit_many",
                      "params": {"jobs": [LONG] * 1000}},
                     {"jsonrpc": "2.0", "id": 2, "method": "job.submit", "params": LONG},
                     {"jsonrpc": "2.0", "id": 3, "method": "job.get", "params": {"id": 1001}}])
        got = {reply["id"]: reply["result"] for reply in self.c.read(60)}
        self.assertEqual(got[1]["ids"], list(range(1, 1001)))
        self.assertEqual((got[2]["id"], got[3]["id"]), (1001, 1001))

    def test_all_or_none(self):
        for place in (0, MANY // 2, MANY - 1):
            jobs = [LONG] * MANY
            jobs[place] = {"kind": "timer", "sleep": "soon"}
            for method, params in (("job.submit_many", {"jobs": jobs}),
                                   ("job.submit", {"kind": "gather", "jobs": jobs})):
                with self.assertRaises(RpcError) as caught:
                    self.c.call(method, params)
                self.assertEqual((caught.exception.code, caught.exception.data["path"]),
                                 (-32602, f"/jobs/{place}/sleep"))
        jobs = [LONG] * MANY
        jobs[7] = {"kind": "worker", "argv": ["true"], "queue": "none"}
        with self.assertRaises(RpcError) as caught:
            self.c.call("job.submit_many", {"jobs": jobs})
        self.assertEqual((caught.exception.word, caught.exception.data["path"]),
                         ("not_found", "/jobs/7/queue"))
        self.assertEqual(self.c.list_all(), [])

    def test_who_does_not_wait_for_the_answer(self):
        """What was sent whole takes effect, once."""
        for _ in range(3):
            with self.client(self.d) as c:
                c.request("job.submit_many", {"jobs": [{**LONG, "key": f"k{n}"}
                                                       for n in range(1000)]})
        wait_until(lambda: self.c.call("daemon.stats")["jobs"]["live"] == 1000, 30,
                   "the jobs are there")
        wait_until(lambda: self.c.call("daemon.stats")["connections"]["calls"] == 1, 10,
                   "this call is the only one")

    def test_a_tree_that_is_cancelled_while_it_starts(self):
        """Its document is read beside the loop; whatever comes meanwhile is not forgotten."""
        for n in range(6):
            tree = self.c.submit("gather", jobs=[LONG] * MANY)["id"]
            if n % 2:
                self.c.wait_state(tree, "running")
            self.c.call("job.cancel", {"ids": [tree] if n < 4 else [tree + 1]})
            done = self.c.wait_one(tree, timeout=60)
            self.assert_done(done, "cancelled" if n < 4 else "failed")
            parts = self.c.wait(*done["children"][:2], done["children"][-1])
            self.assertEqual({j["outcome"] for j in parts}, {"cancelled"})
            self.assertEqual(self.c.call("daemon.stats")["jobs"]["live"], 0)

    def test_a_tree_that_starts_over_a_crash(self):
        tree = self.c.submit("gather", jobs=[{"kind": "timer", "sleep": 0.5}] * MANY)["id"]
        self.d.kill9()
        self.d.start()
        self.c = self.client(self.d)
        self.assert_done(self.c.wait_one(tree, timeout=60))
        self.assertEqual(self.c.get(tree)["result"], [None] * MANY)

    def test_a_stop_meanwhile(self):
        """Answered with ids that are there after the restart; refused, then they are not."""
        n_known = 0
        for _ in range(5):
            c = self.client(self.d)
            asked = c.request("job.submit_many", {"jobs": [LONG] * MANY})
            self.c.call("daemon.shutdown")
            possible = {n_known, n_known + MANY}
            try:
                possible = {n_known + len(c.reply(asked)["ids"])}
            except RpcError as e:
                self.assertEqual(e.word, "shutting_down")
                possible = {n_known}
            except Gone:
                pass  # it may have been read or not
            self.assertEqual(self.d.wait_exit(), 0)
            self.d.start()
            self.c = self.client(self.d)
            n_known = self.c.call("daemon.stats")["jobs"]["live"]
            self.assertIn(n_known, possible)


if __name__ == "__main__":
    main()
