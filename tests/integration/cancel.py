#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Cancel in every state: exactly one outcome, and nothing of the tree is left."""
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import RpcError, TestCase, main, scaled, wait_until

STUBBORN = "trap '' TERM\n: > {ready}\nwhile :; do sleep 0.05; done"


class Cancel(TestCase):
    def setUp(self):
        self.d = self.daemon()
        self.c = self.client(self.d)

    def cancel(self, *numbers, **keys):
        return self.c.call("job.cancel", {"ids": list(numbers), **keys})

    def assert_cancelled(self, number, attempt, timeout=15):
        job = self.assert_done(self.c.wait_one(number, timeout), "cancelled")
        self.assertEqual(job["error"]["code"], "cancelled")
        self.assertEqual(job["error"]["by"], os.getuid())
        self.assertEqual(job["attempt"], attempt)
        self.assertEqual(self.d.leftovers(), [])
        return job

    def ready(self, script, **keys):
        """A worker that runs @script and has come to its ": > {ready}"."""
        path = os.path.join(self.d.home, f"ready{time.monotonic_ns()}")
        number = self.c.call("job.submit", self.d.shell(script.format(ready=path), **keys))["id"]
        wait_until(lambda: os.path.exists(path), 10, "the worker runs")
        return number

    # ---- waiting

    def test_waiting_for_its_time(self):
        number = self.c.submit("timer", sleep=0, delay=600)["id"]
        self.assertEqual(self.c.get(number)["reason"], "time")
        self.cancel(number)
        job = self.assert_cancelled(number, 0)
        self.assertIsNone(job["started_at"])
        self.assertIsNotNone(job["ended_at"])

    def test_waiting_for_a_slot(self):
        self.c.call("queue.set", {"name": "one", "limit": 1})
        first = self.ready(": > {ready}; sleep 600", queue="one")
        second = self.c.call("job.submit", self.d.shell("true", queue="one"))["id"]
        wait_until(lambda: self.c.get(second)["reason"] == "slot", 10, "the second waits")
        self.cancel(second)
        self.assert_done(self.c.wait_one(second), "cancelled")
        self.cancel(first)
        self.assert_cancelled(first, 1)

    def test_waiting_in_a_paused_queue(self):
        self.c.call("queue.pause", {"name": "worker"})
        number = self.c.call("job.submit", self.d.shell("true"))["id"]
        wait_until(lambda: self.c.get(number)["reason"] == "paused", 10, "it waits")
        self.cancel(number)
        self.assert_cancelled(number, 0)
        self.c.call("queue.resume", {"name": "worker"})

    # ---- running

    def test_running_timer(self):
        number = self.c.submit("timer", sleep=600, value="x")["id"]
        self.c.wait_state(number, "running")
        self.cancel(number)
        self.assertIsNone(self.assert_cancelled(number, 1)["result"])

    def test_running_fetch(self):
        web = self.web()
        output = os.path.join(self.d.home, "x")
        for path in ("/hang", "/delay/600/x", "/stall", "/slow?size=100000"):
            with self.subTest(path):
                number = self.c.submit("fetch", url=web.url(path), output=output)["id"]
                self.c.wait_state(number, "running")
                began = time.monotonic()
                self.cancel(number)
                self.assert_cancelled(number, 1)
                self.assertLess(time.monotonic() - began, scaled(2), "a fetch goes at once")
                self.assertEqual([n for n in os.listdir(self.d.home) if n != ".config"], [])

    def test_running_worker(self):
        number = self.ready(": > {ready}; exec sleep 600")
        self.cancel(number)
        job = self.assert_cancelled(number, 1)
        self.assertEqual(job["result"]["signal"], "SIGTERM")

    def test_worker_that_ends_politely_is_cancelled_all_the_same(self):
        number = self.ready("trap 'exit 0' TERM\n: > {ready}\nwhile :; do sleep 0.05; done")
        self.cancel(number)
        job = self.assert_cancelled(number, 1)
        self.assertEqual(job["result"]["exit"], 0)

    def test_worker_that_will_not_go(self):
        number = self.ready(STUBBORN, grace=0.5)
        began = time.monotonic()
        self.cancel(number)
        job = self.assert_cancelled(number, 1)
        self.assertGreaterEqual(time.monotonic() - began, 0.45, "the grace is kept")
        self.assertEqual(job["result"]["signal"], "SIGKILL")

    def test_stopped_worker(self):
        """A process that is stopped (SIGSTOP) cannot handle SIGTERM; it goes all the same."""
        number = self.ready(": > {ready}; kill -STOP $$; sleep 600", grace=0.5)
        self.cancel(number)
        self.assert_cancelled(number, 1)

    def test_whole_tree(self):
        """Children in sessions of their own, orphans and those that ignore SIGTERM."""
        number = self.ready(
            "setsid sh -c 'trap \"\" TERM; while :; do sleep 0.1; done' &\n"
            "(setsid sh -c 'sleep 600; :' &)\n(sleep 600 &)\n"
            "sh -c 'trap \"\" TERM HUP; sleep 600; sleep 600' &\n"
            "sleep 0.3; : > {ready}; wait", grace=0.5)
        self.assertGreaterEqual(len(self.d.leftovers()), 5)
        self.cancel(number)
        self.assert_cancelled(number, 1)

    def test_leftovers_of_a_worker_that_ended_by_itself(self):
        number = self.ready("(setsid sleep 600 > /dev/null 2>&1 &)\n: > {ready}; exit 0")
        self.assert_done(self.c.wait_one(number, 20))
        self.assertEqual(self.d.leftovers(), [])

    # ---- stopping

    def test_stopping_again_is_no_error(self):
        number = self.ready(STUBBORN, grace=1)
        self.cancel(number)
        self.c.wait_state(number, "stopping")
        self.cancel(number)
        self.assert_cancelled(number, 1)

    def test_shorter_grace_counts_while_stopping(self):
        number = self.ready(STUBBORN, grace=600)
        self.cancel(number)
        self.c.wait_state(number, "stopping")
        began = time.monotonic()
        self.cancel(number, grace=0.2)
        self.assert_cancelled(number, 1)
        self.assertLess(time.monotonic() - began, scaled(10))

    def test_longer_grace_does_not_count_while_stopping(self):
        number = self.ready(STUBBORN, grace=0.5)
        self.cancel(number)
        self.cancel(number, grace=600)
        self.assert_cancelled(number, 1, timeout=20)

    def test_grace_of_the_cancel(self):
        number = self.ready(STUBBORN, grace=600)
        self.cancel(number, grace=0)
        self.assert_cancelled(number, 1)

    # ---- done

    def test_done(self):
        for outcome, document in (("succeeded", {"kind": "timer", "sleep": 0}),
                                  ("failed", self.d.shell("exit 1"))):
            with self.subTest(outcome):
                number = self.c.call("job.submit", document)["id"]
                self.c.wait_one(number)
                before = self.c.get(number)
                with self.assertRaises(RpcError) as caught:
                    self.cancel(before["id"])
                self.assertEqual(caught.exception.word, "wrong_state")
                self.assertEqual(caught.exception.data["outcome"], outcome)
                self.assertEqual(self.c.get(before["id"]), before, "done never moves")

    # ---- many, races

    def test_several_ids(self):
        waiting = [self.c.submit("timer", sleep=0, delay=600)["id"] for _ in range(3)]
        done = self.c.wait_one(self.c.submit("timer", sleep=0)["id"])["id"]
        got = self.cancel(*waiting, done, 999999, waiting[0])
        self.assertEqual([j["id"] for j in got["jobs"]], waiting, "a duplicate counts once")
        self.assertEqual([(e["id"], e["code"]) for e in got["errors"]],
                         [(done, "wrong_state"), (999999, "not_found")])
        for job in self.c.wait(*waiting):
            self.assert_done(job, "cancelled")

    def test_message(self):
        number = self.c.submit("timer", sleep=600)["id"]
        self.cancel(number, message="not needed any more")
        self.assertIn("not needed any more", self.assert_cancelled(number, 1)["error"]["message"]
                      if self.c.get(number)["attempt"] else
                      self.assert_cancelled(number, 0)["error"]["message"])

    def test_right_behind_the_submit(self):
        """The cancel meets the job in whatever state it just is: one outcome, no attempt after."""
        numbers = []
        for n in range(200):
            document = ({"kind": "timer", "sleep": 600} if n % 2 else self.d.shell("sleep 600"))
            numbers.append(self.c.call("job.submit", document)["id"])
            self.c.request("job.cancel", {"ids": [numbers[-1]]})
        for job in self.c.wait(*numbers, timeout=60):
            self.assert_done(job, "cancelled")
            self.assertLessEqual(job["attempt"], 1)
        self.assertEqual(self.d.leftovers(), [])

    def test_race_with_the_end(self):
        """Whoever comes first wins; the reply and the outcome agree."""
        numbers = [self.c.call("job.submit", self.d.shell(f"sleep 0.{n % 10:02d}"))["id"]
                   for n in range(60)]
        verdict = {}
        for number in numbers:
            try:
                self.cancel(number)
                verdict[number] = {"cancelled"}
            except RpcError as e:
                self.assertEqual(e.word, "wrong_state")
                verdict[number] = {e.data["outcome"]}
        for job in self.c.wait(*numbers, timeout=60):
            # A cancel taken while the end was already seen is answered, and the end wins.
            self.assertIn(job["outcome"], verdict[job["id"]] | {"succeeded"})

    # ---- the client

    def test_ctrl_c_cancels_a_run(self):
        p = self.d.ctl_spawn("run", "worker", "--env", f"AWTEST_MARK={self.d.mark}", "--",
                             "sh", "-c", "echo ready; sleep 600")
        self.assertEqual(p.stdout.readline(), "ready\n")
        p.send_signal(signal.SIGINT)
        p.communicate(timeout=scaled(20))
        self.assertEqual(p.returncode, 130)
        self.assert_done(self.c.list_all()[0], "cancelled")
        self.assertEqual(self.d.leftovers(), [])

    def test_awaitctl_cancel(self):
        number = self.c.submit("timer", sleep=600)["id"]
        self.assertEqual(self.d.ctl("cancel", str(number), "--grace", "1s").status, 0)
        self.assertEqual(self.d.ctl("wait", str(number)).status, 1)
        self.assertEqual(self.d.ctl("cancel", str(number)).status, 4)
        self.assertEqual(self.d.ctl("cancel", "999999").status, 4)


if __name__ == "__main__":
    main()
