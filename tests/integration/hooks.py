#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The failure hook: for which ends it runs, what it is told, and that none is missed or doubled."""
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import TestCase, main, wait_until

HOOK = """#!/bin/sh
# $1: the job's id, $2: its outcome; the object goes into a file of its own for each run.
cat >"{dir}/hook-$1-$2.$$.part" && mv "{dir}/hook-$1-$2.$$.part" "{dir}/hook-$1-$2.$$"
"""


class Hooks(TestCase):
    def start(self, config="", program=None):
        d = self.daemon(start=False)
        self.program = os.path.join(d.dir, "hook")
        with open(self.program, "w", encoding="ascii") as f:
            f.write(HOOK.format(dir=d.dir))
        os.chmod(self.program, 0o755)
        d.write_config(f"[hooks]\non_end = {program or self.program}\n{config}")
        d.start()
        return d

    def told(self, d):
        """(id, outcome) -> the objects that the program was given."""
        found = {}
        for name in os.listdir(d.dir):
            if name.startswith("hook-") and not name.endswith(".part"):
                number, outcome = name.split(".")[0].split("-")[1:]
                with open(os.path.join(d.dir, name), encoding="utf-8") as f:
                    found.setdefault((int(number), outcome), []).append(json.load(f))
        return found

    def settle(self, d, c, n):
        """Wait until @n hooks have run, and no more are on their way."""
        wait_until(lambda: len(self.hook_jobs(c, state="done")) >= n, 20, f"{n} hooks have run")
        self.assertEqual(len(self.hook_jobs(c)), n)
        return self.told(d)

    def hook_jobs(self, c, **filters):
        return c.list_all(tag="hook", **filters)

    def test_which_ends(self):
        d = self.start()
        c = self.client(d)
        fails = c.call("job.submit", d.shell("exit 3 # ${HOME}", name="bad"))["id"]
        slow = c.call("job.submit", d.shell("sleep 60", timeout=0.1))["id"]
        good = c.submit("timer", sleep=0)["id"]
        waiting = c.submit("timer", sleep=0, delay=600)["id"]
        c.call("job.cancel", {"ids": [waiting]})
        c.wait(fails, slow, good, waiting)
        told = self.settle(d, c, 2)
        self.assertEqual(set(told), {(fails, "failed"), (slow, "timed_out")})
        job, = told[fails, "failed"]
        self.assertEqual(job["name"], "bad")
        self.assertEqual(job["spec"]["argv"][2], "exit 3 # ${HOME}",
                         "nothing in it is taken for a reference")
        self.assertEqual((job["id"], job["state"], job["outcome"], job["error"]["code"]),
                         (fails, "done", "failed", "exit"))
        hook = self.hook_jobs(c)[0]
        self.assertEqual((hook["name"], hook["queue"], hook["key"]),
                         ("hook", "hook", f"hook:{fails}"))
        self.assertEqual(hook["owner"]["uid"], os.getuid())

    def test_outcomes_are_a_setting(self):
        d = self.start("outcomes = cancelled succeeded\n")
        c = self.client(d)
        good = c.submit("timer", sleep=0)["id"]
        bad = c.call("job.submit", d.shell("exit 3"))["id"]
        c.wait(good, bad)
        told = self.settle(d, c, 1)
        # The hook succeeded as well, and has none.
        self.assertEqual(set(told), {(good, "succeeded")})

    def test_a_failing_hook_has_no_hook(self):
        d = self.start(program="/bin/false")
        c = self.client(d)
        bad = c.call("job.submit", d.shell("exit 3"))["id"]
        c.wait(bad)
        self.settle(d, c, 1)
        self.assertEqual(self.hook_jobs(c)[0]["outcome"], "failed")
        again = c.call("job.submit", d.shell("exit 3"))["id"]
        c.wait(again)
        self.settle(d, c, 2)

    def test_secrets_are_masked_and_long_values_cut(self):
        d = self.start()
        c = self.client(d)
        bad = c.call("job.submit", d.shell("exit 3", env={"PASSWORD": "MARKER"}))["id"]
        long = c.call("job.submit", d.shell("exit 3 # " + "x" * 100000, env={"P": "MARKER"}))["id"]
        c.wait(bad, long)
        told = self.settle(d, c, 2)
        job, = told[bad, "failed"]
        self.assertEqual(job["spec"]["env"]["PASSWORD"], "***")
        job, = told[long, "failed"]
        self.assertEqual((job["spec"], job["truncated"]), (None, ["spec"]))
        self.assertNotIn("MARKER", json.dumps(list(told.values())))
        self.assertNotIn("MARKER", d.log())

    def test_a_composition_has_one(self):
        d = self.start()
        c = self.client(d)
        if c.call_error("job.submit", {"kind": "gather"}).data.get("code") == "unsupported":
            self.skipTest("this daemon has no compositions")
        parts = [d.shell("exit 1", name="n" * 250)] * 700
        tree = c.submit("gather", jobs=parts, on_failure="continue")["id"]
        c.wait(tree, timeout=60)
        told = self.settle(d, c, 1)
        job, = told[tree, "failed"]
        self.assertEqual(job["error"]["code"], "part_failed")
        self.assertIn("error", job["truncated"])
        self.assertLessEqual(len(job["error"].get("errors") or []), 10)

    def test_none_is_missed_or_doubled_by_kill9(self):
        """Jobs end, and the daemon is killed, again and again."""
        d = self.start()
        ids, end = [], time.monotonic() + 3
        while time.monotonic() < end:
            with d.client() as c:
                jobs = [{"kind": "timer", "sleep": 0}, d.worker("/nonexistent"),
                        d.worker("/nonexistent")] * 5
                got = c.call("job.submit_many", {"jobs": jobs})["ids"]
                c.wait(*got[:4])
                ids += got
            d.kill9()
            d.start()
        c = self.client(d)
        for start in range(0, len(ids), 1000):
            c.wait(*ids[start:start + 1000], timeout=60)
        wanted = {j["id"] for j in c.list_all(outcome=["failed", "lost", "timed_out"])
                  if j["name"] != "hook"}
        wait_until(lambda: len(self.hook_jobs(c, state="done")) >= len(wanted), 60,
                   "every end has its hook")
        self.assertEqual(sorted(j["key"] for j in self.hook_jobs(c)),
                         sorted(f"hook:{i}" for i in wanted))

    def test_what_ended_before_it_was_switched_on_has_none(self):
        d = self.daemon()
        c = self.client(d)
        old = c.call("job.submit", d.worker("/nonexistent"))["id"]
        c.wait(old)
        self.assertEqual(self.hook_jobs(c), [])
        self.assertEqual(d.stop(), 0)
        d.write_config("[hooks]\non_end = /bin/true\n")
        d.start()
        c = self.client(d)
        new = c.call("job.submit", d.worker("/nonexistent"))["id"]
        c.wait(new)
        self.settle(d, c, 1)
        self.assertEqual(self.hook_jobs(c)[0]["key"], f"hook:{new}")
        # Off by a reload, and on again.
        d.write_config("")
        c.call("daemon.reload")
        c.wait(c.call("job.submit", d.worker("/nonexistent"))["id"])
        d.write_config("[hooks]\non_end = /bin/true\n")
        c.call("daemon.reload")
        last = c.call("job.submit", d.worker("/nonexistent"))["id"]
        c.wait(last)
        self.settle(d, c, 2)
        self.assertEqual(self.hook_jobs(c)[1]["key"], f"hook:{last}")


if __name__ == "__main__":
    main()
