#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""An orderly restart: what waits waits on, timers keep their instant, on_lost decides the rest."""
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import (Gone, IS_SLOW, RpcError, TestCase, main, parse_time, process_start,
                         scaled, wait_until)

SLACK = 8.0 if IS_SLOW else 1.5


class Restart(TestCase):
    def setUp(self):
        self.d = self.daemon()
        self.c = self.client(self.d)

    def restart(self):
        self.d.restart()
        self.c = self.client(self.d)

    def submit(self, document):
        return self.c.call("job.submit", document)["id"]

    def running(self, document):
        number = self.submit(document)
        self.c.wait_state(number, "running")
        return number

    def started_worker(self, script, traps="", **keys):
        """A worker that has really begun, with its @traps set: it left its pid in a file."""
        path = os.path.join(self.d.home, f"pid{time.monotonic_ns()}")
        document = self.d.shell(
            f"{traps}\necho $$ > {path}.new && mv {path}.new {path}\n{script}", **keys)
        number = self.running(document)
        wait_until(lambda: os.path.exists(path), 10, "the worker runs")
        with open(path, encoding="ascii") as f:
            return number, int(f.read())

    def test_waiting_jobs_wait_on(self):
        number = self.c.submit("timer", sleep=0, delay=2, name="patient", tags=["a", "b"],
                               priority=7, value={"x": [1, None]})["id"]
        before = self.c.get(number)
        self.restart()
        after = self.c.get(number)
        self.assertEqual(after, before, "a restart changes nothing that is seen")
        done = self.assert_done(self.c.wait_one(number))
        self.assertEqual(done["result"], {"x": [1, None]})
        waited = parse_time(done["started_at"]) - parse_time(done["submitted_at"])
        self.assertGreaterEqual(waited, 1.998)
        self.assertLess(waited, 2 + SLACK)

    def test_due_while_the_daemon_was_down(self):
        number = self.c.submit("timer", sleep=0, delay=0.5, value="late")["id"]
        submitted = time.monotonic()
        self.d.stop()
        wait_until(lambda: time.monotonic() - submitted > 0.6, 5, "the instant passes")
        self.d.start()
        self.c = self.client(self.d)
        self.assert_done(self.c.wait_one(number, timeout=5))

    def test_running_timer_keeps_its_instant(self):
        number = self.running({"kind": "timer", "sleep": 3, "value": "kept"})
        began = self.c.get(number)["started_at"]
        self.restart()
        job = self.c.get(number)
        self.assertEqual((job["state"], job["attempt"], job["started_at"]), ("running", 1, began))
        done = self.assert_done(self.c.wait_one(number))
        slept = parse_time(done["ended_at"]) - parse_time(done["started_at"])
        self.assertGreaterEqual(slept, 2.998)
        self.assertLess(slept, 3 + SLACK)

    def test_a_race_keeps_its_winner(self):
        """The second part won, the first succeeded after it, the third is waited for."""
        go = os.path.join(self.d.home, "go")
        number = self.submit({"kind": "race", "jobs": [
            {"kind": "timer", "sleep": 0.2, "value": "late", "shield": True},
            {"kind": "timer", "sleep": 0.1, "value": "first"},
            self.d.shell(f"until [ -e {go} ]; do sleep 0.1; done", on_lost="retry", shield=True)]})
        self.c.wait(*self.c.get(number)["children"][:2])
        self.d.kill9()
        self.d.start()
        self.c = self.client(self.d)
        with open(go, "w", encoding="ascii"):
            pass
        done = self.assert_done(self.c.wait_one(number))
        self.assertEqual(done["result"], {"winner": 1, "result": "first"})

    def test_what_an_earlier_attempt_needed_stays(self):
        needed = self.submit({"kind": "timer", "sleep": 0})
        self.c.wait_one(needed)
        number = self.submit({
            "kind": "gather", "retry": {"max": 1, "delay": 1, "jitter": 0},
            "jobs": [{"kind": "worker", "argv": ["false"], "needs": [needed]}]})
        self.c.wait_one(self.c.get(number)["children"][0])
        self.d.kill9()
        self.d.start()
        self.c = self.client(self.d)
        with self.assertRaises(RpcError) as caught:
            self.c.call("job.remove", {"ids": [needed]})
        self.assertEqual(caught.exception.word, "wrong_state")
        done = self.c.wait_one(number)
        self.assertEqual((done["error"]["code"], done["attempt"]), ("part_failed", 2))
        self.c.call("job.remove", {"ids": [needed]})

    def test_worker_is_lost(self):
        number, pid = self.started_worker("sleep 600")
        start = process_start(pid)
        self.restart()
        self.assertNotEqual(process_start(pid), start, "the worker was ended")
        job = self.assert_done(self.c.wait_one(number), "lost")
        self.assertEqual((job["error"]["code"], job["attempt"]), ("lost", 1))
        self.assert_sentence(job["error"]["message"])

    def test_worker_that_may_be_tried_again(self):
        path = os.path.join(self.d.home, "twice")
        number, _ = self.started_worker(f"test -e {path} && exit 0; : > {path}; sleep 600",
                                        on_lost="retry")
        wait_until(lambda: os.path.exists(path), 10, "the first attempt has left its mark")
        self.restart()
        job = self.assert_done(self.c.wait_one(number))
        self.assertEqual(job["attempt"], 2)

    def test_stop_is_polite(self):
        """The worker gets SIGTERM and its grace; what it writes then is kept."""
        number, _ = self.started_worker(
            "while :; do sleep 0.05; done", traps="trap 'echo bye; exit 0' TERM")
        self.restart()
        self.assert_done(self.c.wait_one(number), "lost")
        # The shell itself may say "Terminated" about its sleep, on stderr.
        self.assertEqual(self.c.output(number, "stdout"), b"bye\n")

    def test_stop_does_not_wait_for_ever(self):
        self.started_worker("while :; do sleep 0.05; done", traps="trap '' TERM", grace=0.5)
        began = time.monotonic()
        self.restart()
        self.assertLess(time.monotonic() - began, scaled(8))
        self.assertEqual(self.d.leftovers(), [])

    def test_fetch_is_tried_again(self):
        web = self.web()
        output = os.path.join(self.d.home, "f")
        get = self.running({"kind": "fetch", "url": web.url("/delay/1/x?size=100"),
                            "output": output})
        post = self.running({"kind": "fetch", "url": web.url("/delay/30/x"), "method": "POST",
                             "body": "x"})
        fail = self.running({"kind": "fetch", "url": web.url("/delay/30/x"), "on_lost": "fail"})
        self.restart()
        job = self.assert_done(self.c.wait_one(get))
        self.assertEqual((job["attempt"], os.path.getsize(output)), (2, 100))
        self.assert_done(self.c.wait_one(post), "lost")
        self.assert_done(self.c.wait_one(fail), "lost")

    def test_cancel_survives(self):
        """A cancel that was acknowledged holds, although the daemon died before the end."""
        number, pid = self.started_worker("while :; do sleep 0.05; done", traps="trap '' TERM",
                                          grace=60, on_lost="retry")
        self.c.call("job.cancel", {"ids": [number]})
        self.c.wait_state(number, "stopping")
        self.d.kill9()
        self.d.check_supervisors_gone()
        self.d.start()
        self.c = self.client(self.d)
        job = self.assert_done(self.c.wait_one(number), "cancelled")
        self.assertEqual(job["attempt"], 1, "a cancelled job never starts again")
        self.assertIsNone(process_start(pid))

    def test_done_jobs_stay(self):
        number = self.c.submit("timer", sleep=0, value="v")["id"]
        worker = self.submit(self.d.shell("echo out; echo err >&2; exit 3"))
        self.c.wait(number, worker)
        before = [self.c.get(number), self.c.get(worker)]
        self.restart()
        self.assertEqual([self.c.get(number), self.c.get(worker)], before)
        self.assertEqual(self.c.output(worker, "stdout"), b"out\n")
        self.assertGreater(self.c.submit("timer", sleep=0)["id"], max(number, worker),
                           "ids are never used again")

    def test_ids_of_removed_jobs_are_not_used_again(self):
        number = self.c.submit("timer", sleep=0)["id"]
        self.c.wait_one(number)
        self.c.call("job.remove", {"ids": [number]})
        self.restart()
        self.assertGreater(self.c.submit("timer", sleep=0)["id"], number)

    def test_queues_stay(self):
        self.c.call("queue.set", {"name": "mine", "limit": 3})
        self.c.call("queue.pause", {"name": "mine"})
        number = self.submit(self.d.shell("true", queue="mine"))
        self.restart()
        queue = [q for q in self.c.call("queue.list")["queues"] if q["name"] == "mine"][0]
        self.assertEqual((queue["limit"], queue["paused"], queue["waiting"]), (3, True, 1))
        self.c.call("queue.resume", {"name": "mine"})
        self.assert_done(self.c.wait_one(number))

    def test_shutdown_over_the_socket(self):
        self.assertEqual(self.c.call("daemon.shutdown", {}), {})
        self.assertEqual(self.d.wait_exit(), 0)

    def test_shutdown_with_drain(self):
        number, _ = self.started_worker("sleep 1; echo finished")
        waiting = self.c.submit("timer", sleep=0, delay=600)["id"]
        self.c.call("daemon.shutdown", {"drain": True})
        with self.client(self.d) as other:
            try:
                other.call("job.submit", {"kind": "timer", "sleep": 0})
            except RpcError as e:
                self.assertEqual((e.code, e.word), (-32007, "shutting_down"))
            else:
                self.fail("a submit was accepted during the drain")
        self.assertEqual(self.d.wait_exit(), 0)
        self.d.start()
        self.c = self.client(self.d)
        self.assert_done(self.c.get(number))
        self.assertEqual(self.c.output(number), b"finished\n")
        self.assertEqual(self.c.get(waiting)["state"], "waiting")

    def test_who_waits_for_what_is_drained_is_told(self):
        """Jobs end, and the daemon with them, but not before all the answers."""
        number, _ = self.started_worker("sleep 0.5; echo finished")
        timer = self.c.submit("timer", sleep=600)["id"]
        waiting = self.c.request("job.wait", {"ids": [number]})
        any_of = self.c.request("job.wait", {"ids": [timer, number], "mode": "any"})
        follow = self.c.request("job.output", {"id": number, "follow": True})
        for_ever = self.c.request("job.wait", {"ids": [timer]})
        with self.client(self.d) as reader:
            reader.call("events.subscribe", {"jobs": [number]})
            began = time.monotonic()
            self.c.call("daemon.shutdown", {"drain": True})
            self.assertEqual(self.c.reply(waiting)["jobs"][0]["outcome"], "succeeded")
            self.assertEqual([j["state"] for j in self.c.reply(any_of)["jobs"]],
                             ["running", "done"])
            self.assertTrue(self.c.reply(follow)["eof"])
            event = reader.note("event")
            self.assertEqual((event["type"], event["job"]["id"]), ("done", number))
            with self.assertRaises(Gone):
                self.c.reply(for_ever)
        self.assertEqual(self.d.wait_exit(), 0)
        self.assertLess(time.monotonic() - began, scaled(5))

    def test_sigint_stops_too(self):
        self.assertEqual(self.d.stop(signal.SIGINT), 0)
        self.assertFalse(os.path.exists(self.d.socket), "the socket file is taken away")

    def test_signals_up_to_the_end(self):
        """An orderly stop stays one, however often it is asked for."""
        for _ in range(10):
            self.d.process.send_signal(signal.SIGTERM)
            while self.d.is_alive():
                self.d.process.send_signal(signal.SIGHUP)
                self.d.process.send_signal(signal.SIGTERM)
                time.sleep(0.0002)
            self.assertEqual(self.d.wait_exit(), 0, self.d.log_tail())
            self.d.start()

    def test_supervisor_dies(self):
        """Its workers are lost or tried again, new ones run, the daemon stays."""
        number, _ = self.started_worker("sleep 600")
        self.d.remember_supervisors()
        for pid, start in self.d.supervisors:
            if process_start(pid) == start:
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self.d.is_alive()
                   or self.c.get(number)["state"] == "done", 15, "the loss is noticed")
        if not self.d.is_alive():
            self.d.start()
            self.c = self.client(self.d)
        self.assert_done(self.c.wait_one(number), "lost")
        self.assert_done(self.c.wait_one(self.submit(self.d.shell("true"))))
        wait_until(lambda: not self.d.leftovers(), 10, "nothing of the lost worker is left")


if __name__ == "__main__":
    main()
