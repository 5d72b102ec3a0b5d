#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The key: sent twice is one job, whatever the spelling; a different document is a conflict."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import RpcError, TestCase, main


class Idempotency(TestCase):
    def setUp(self):
        self.d = self.daemon()
        self.c = self.client(self.d)

    def submit(self, **document):
        return self.c.call("job.submit", {"kind": "timer", **document})

    def test_same_document(self):
        first = self.submit(sleep=0, key="k")
        again = self.submit(sleep=0, key="k")
        self.assertEqual((first["existing"], again["existing"]), (False, True))
        self.assertEqual(again["id"], first["id"])
        self.assertEqual(len(self.c.list_all()), 1)
        self.assertEqual(first["key"], "k")

    def test_compared_after_normalising(self):
        first = self.submit(sleep="1min 30s", value={"a": 1, "b": 2}, key="k", delay=3600)
        for other in ({"sleep": 90, "value": {"a": 1, "b": 2}, "delay": "1h"},
                      {"delay": "60min", "value": {"a": 1, "b": 2}, "sleep": "90s"}):
            self.assertEqual(self.submit(key="k", **other)["id"], first["id"])

    def test_defaults_say_nothing(self):
        """A key at its fixed default, or left out: the same; at a setting's value: not."""
        fetch = {"kind": "fetch", "url": "http://127.0.0.1:9/", "delay": 3600}
        worker = {"kind": "worker", "argv": ["true"], "delay": 3600}
        for n, (document, defaults) in enumerate((
                ({"kind": "timer", "sleep": 600},
                 {"priority": 0, "value": None, "tags": [], "needs": [], "delay": 0,
                  "retry": {"max": 0}}),
                (fetch, {"method": "get", "overwrite": False, "headers": {}, "queue": "fetch",
                         "expect": "200-299", "insecure": False, "on_lost": "retry",
                         "resume": True}),
                ({**fetch, "body": "x"}, {"method": "POST", "on_lost": "fail"}),
                (worker, {"queue": "worker", "success": 0, "env": {}, "limits": {},
                          "on_lost": "fail"}),
                ({"kind": "gather", "jobs": [worker]},
                 {"on_failure": "cancel", "jobs": [{**worker, "shield": False, "priority": 0}]}))):
            key = f"k{n}"
            first = self.c.call("job.submit", {**document, "key": key})
            for more in (defaults, *({k: v} for k, v in defaults.items())):
                again = self.c.call("job.submit", {**document, **more, "key": key})
                self.assertEqual((again["id"], again["existing"]), (first["id"], True), more)
            key = f"k{n}, the other way"
            first = self.c.call("job.submit", {**document, **defaults, "key": key})
            again = self.c.call("job.submit", {**document, "key": key})
            self.assertEqual(again["id"], first["id"])
            self.assertEqual(again["spec"], first["spec"])
            self.assertIn(next(iter(defaults)), first["spec"])
        for more in ({"method": "HEAD"}, {"on_lost": "fail"}, {"resume": False}, {"redirects": 10},
                     {"grace": 5}, {"queue": "worker"}, {"retry": {"max": 0, "delay": 1}}):
            with self.subTest(more):
                with self.assertRaises(RpcError) as caught:
                    self.c.call("job.submit", {**fetch, **more, "key": "k1"})
                self.assertEqual(caught.exception.word, "conflict")

    def test_different_document(self):
        first = self.submit(sleep=600, key="k")
        for other in ({"sleep": 601}, {"sleep": 600, "name": "x"}, {"sleep": 600, "value": 1}):
            with self.subTest(other):
                with self.assertRaises(RpcError) as caught:
                    self.submit(key="k", **other)
                self.assertEqual((caught.exception.code, caught.exception.word),
                                 (-32004, "conflict"))
        self.assertEqual([j["id"] for j in self.c.list_all()], [first["id"]])

    def test_after_the_end_and_a_restart(self):
        first = self.submit(sleep=0, value=5, key="k")
        self.c.wait_one(first["id"])
        again = self.submit(sleep=0, value=5, key="k")
        self.assertEqual((again["id"], again["state"], again["result"]), (first["id"], "done", 5))
        self.d.restart()
        self.c = self.client(self.d)
        again = self.submit(sleep=0, value=5, key="k")
        self.assertEqual((again["id"], again["existing"]), (first["id"], True))

    def test_pipelined(self):
        """Sixteen at once on one connection, sixteen on another: one job."""
        other = self.client(self.d)
        document = {"kind": "timer", "sleep": 0, "key": "k"}
        asked = [(c, c.request("job.submit", document)) for _ in range(16)
                 for c in (self.c, other)]
        jobs = [c.reply(n) for c, n in asked]
        self.assertEqual(len({j["id"] for j in jobs}), 1)
        self.assertEqual(sum(not j["existing"] for j in jobs), 1)

    def test_submit_many(self):
        documents = [{"kind": "timer", "sleep": 0, "key": f"k{n % 3}"} for n in range(3)]
        first = self.c.call("job.submit_many", {"jobs": documents})
        self.assertEqual(first["existing"], [False] * 3)
        more = documents + [{"kind": "timer", "sleep": 0, "key": "k3"}]
        again = self.c.call("job.submit_many", {"jobs": more})
        self.assertEqual(again["ids"][:3], first["ids"])
        self.assertEqual(again["existing"], [True] * 3 + [False])

    def test_submit_many_with_the_same_key_twice(self):
        documents = [{"kind": "timer", "sleep": 0, "key": "k"}] * 2
        got = self.c.call("job.submit_many", {"jobs": documents})
        self.assertEqual(len(set(got["ids"])), 1)
        self.assertEqual(got["existing"], [False, True])

    def test_conflict_in_submit_many_is_all_or_none(self):
        self.submit(sleep=600, key="k1")
        with self.assertRaises(RpcError) as caught:
            self.c.call("job.submit_many", {"jobs": [
                {"kind": "timer", "sleep": 0, "key": "k0"},
                {"kind": "timer", "sleep": 0, "key": "k1"}]})
        self.assertEqual(caught.exception.word, "conflict")
        self.assertEqual(len(self.c.list_all()), 1)

    def test_kept_after_remove(self):
        """A key outlives the job's record: a resend does not run the work again."""
        first = self.submit(sleep=0, key="k")
        self.c.wait_one(first["id"])
        self.c.call("job.remove", {"ids": [first["id"]]})
        try:
            again = self.submit(sleep=0, key="k")
        except RpcError as e:
            self.assertIn(e.word, ("conflict", "not_found"))
        else:
            self.assertEqual((again["id"], again["existing"]), (first["id"], True))
        self.assertEqual(self.c.list_all(), [])

    def test_a_removed_job_cannot_be_needed(self):
        """Its key is known still, and "@0" of a resend means a job that is gone."""
        documents = [{"kind": "timer", "sleep": 0, "key": "k"}]
        number = self.submit(sleep=0, key="k")["id"]
        self.c.wait_one(number)
        self.c.call("job.remove", {"ids": [number]})
        documents.append({"kind": "timer", "sleep": 0, "needs": ["@0"]})
        for _ in range(2):
            with self.assertRaises(RpcError) as caught:
                self.c.call("job.submit_many", {"jobs": documents})
            self.assertEqual((caught.exception.word, caught.exception.data["path"]),
                             ("not_found", "/jobs/1/needs"))
            self.assertEqual(self.c.list_all(), [])
            self.d.restart()
            self.c = self.client(self.d)

    def test_awaitctl_makes_keys(self):
        a, b = (self.d.ctl("submit", "timer", "0") for _ in range(2))
        jobs = self.c.wait(int(a.out), int(b.out))
        self.assertEqual(len({j["key"] for j in jobs} - {None}), 2)
        r = self.d.ctl("submit", "timer", "--key", "mine", "0")
        self.assertEqual(self.d.ctl("submit", "timer", "--key", "mine", "0").out, r.out)
        self.assertEqual(self.d.ctl("submit", "timer", "--key", "mine", "1").status, 4)


if __name__ == "__main__":
    main()
