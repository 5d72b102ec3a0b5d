#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Events: what a subscriber is told, in which order, and that nothing is left out."""
import json
import os
import random
import signal
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import TestCase, main, parse_time, wait_until


class Events(TestCase):
    def setUp(self):
        self.d = self.daemon()
        self.c = self.client(self.d)

    def subscriber(self, **params):
        c = self.client(self.d)
        c.call("events.subscribe", params)
        return c

    def take_until(self, c, is_last, timeout=30):
        """Events up to the first one that @is_last says yes to."""
        events = []
        while not events or not is_last(events[-1]):
            events.append(c.note("event", timeout))
        return events

    @staticmethod
    def has_ended(number):
        return lambda e: e["type"] == "done" and e["job"]["id"] == number

    def test_life_of_a_job(self):
        c = self.subscriber()
        number = self.c.submit("timer", sleep=0.05, name="a clock")["id"]
        events = self.take_until(c, self.has_ended(number))
        self.assertEqual([e["type"] for e in events], ["submitted", "running", "done"])
        self.assertEqual([e["attempt"] for e in events], [0, 1, 1])
        self.assertEqual([e["seq"] for e in events], list(range(events[0]["seq"],
                                                                events[0]["seq"] + 3)))
        times = [parse_time(e["time"]) for e in events]
        self.assertEqual(times, sorted(times))
        job = events[-1]["job"]
        self.assertEqual((job["id"], job["name"], job["state"], job["outcome"]),
                         (number, "a clock", "done", "succeeded"))

    def test_next_is_where_it_begins(self):
        first = self.c.submit("timer", sleep=0)["id"]
        self.c.wait(first)
        c = self.client(self.d)
        begin = c.call("events.subscribe")["next"]
        number = self.c.submit("timer", sleep=0)["id"]
        events = self.take_until(c, self.has_ended(number))
        self.assertEqual({e["job"]["id"] for e in events}, {number})
        self.assertEqual(events[0]["seq"], begin + 1)
        self.assertEqual(c.call("events.subscribe", {"since": 1})["next"], 1)

    def test_a_cursor_survives_everything(self):
        """Each time it goes on behind what was seen, over kill -9 and an orderly stop."""
        seen, last, numbers = [], 0, []
        for i in range(6):
            with self.d.client() as c:
                numbers += [c.submit("timer", sleep=0.01 * k)["id"] for k in range(5)]
            with self.d.client() as c:
                c.call("events.subscribe", {"since": last})
                for _ in range(random.randrange(1, 12)):
                    seen.append(c.note("event"))
                    last = seen[-1]["seq"]
            if i == 2:
                self.d.kill9()
                self.d.start()
            elif i == 4:
                self.d.restart()
        c = self.subscriber(since=last)
        with self.d.client() as other:
            other.wait(*numbers)
        ended = {e["job"]["id"] for e in seen if e["type"] == "done"}
        while ended != set(numbers):
            seen.append(c.note("event"))
            if seen[-1]["type"] == "done":
                ended.add(seen[-1]["job"]["id"])
        self.assertEqual([e["seq"] for e in seen], list(range(1, len(seen) + 1)))
        for number in numbers:
            self.assertEqual([e["type"] for e in seen if e["job"]["id"] == number],
                             ["submitted", "running", "done"])

    def test_no_gap_under_load(self):
        """Several write while several read."""
        n_writers, n_each = 4, 250
        readers = [self.subscriber(since=0), self.subscriber(), self.subscriber(since=0)]

        def write():
            with self.d.client() as c:
                for _ in range(n_each // 10):
                    for k in [c.request("job.submit", {"kind": "timer", "sleep": 0})
                              for _ in range(10)]:
                        c.reply(k)

        writers = [threading.Thread(target=write) for _ in range(n_writers)]
        for w in writers:
            w.start()
        for w in writers:
            w.join()
        wanted = 3 * n_writers * n_each
        for reader in readers:
            events = [reader.note("event", 60) for _ in range(wanted)]
            self.assertEqual([e["seq"] for e in events], list(range(1, wanted + 1)))
            states = {}
            for e in events:
                before = states.get(e["job"]["id"])
                self.assertEqual(before, {"submitted": None, "running": "submitted",
                                          "done": "running"}[e["type"]])
                states[e["job"]["id"]] = e["type"]
            self.assertEqual(set(states.values()), {"done"})

    def test_one_that_does_not_read_holds_nobody_up(self):
        deaf = self.subscriber(since=0)
        numbers = []
        for _ in range(30):
            numbers += self.c.call("job.submit_many", {"jobs": [
                {"kind": "timer", "sleep": 0, "value": "x" * 2000} for _ in range(100)]})["ids"]
        last = numbers[-1]
        for i in range(0, len(numbers), 1000):
            self.c.wait(*numbers[i:i + 1000], timeout=60)
        stats = self.c.call("daemon.stats")
        self.assertLess(stats["connections"]["buffered_bytes"], 2 << 20)
        # It wakes up, and has missed nothing.
        events = self.take_until(deaf, lambda e: e["seq"] == 3 * len(numbers), timeout=60)
        self.assertEqual([e["seq"] for e in events], list(range(1, 3 * len(numbers) + 1)))
        self.assertEqual(self.c.get(last)["outcome"], "succeeded")

    def test_filters(self):
        self.c.call("queue.pause", {"name": "worker"})
        worker = self.c.call("job.submit", self.d.shell("true"))["id"]
        clock = self.c.submit("timer", sleep=0)["id"]
        self.c.wait(clock)
        by_job = self.subscriber(since=0, jobs=[worker])
        by_kind = self.subscriber(since=0, kinds="worker")
        self.c.call("queue.resume", {"name": "worker"})
        for c in (by_job, by_kind):
            events = self.take_until(c, self.has_ended(worker))
            self.assertEqual({e["job"]["id"] for e in events}, {worker})
            self.assertEqual([e["type"] for e in events], ["submitted", "running", "done"])
        self.assertEqual(by_job.call_error("events.subscribe", {"kinds": ["clock"]}).data["path"],
                         "/kinds/0")

    def test_parts_belong_to_their_composition(self):
        other = self.c.submit("timer", sleep=600)["id"]
        job = self.c.submit("gather", jobs=[{"kind": "timer", "sleep": 0.01},
                                            {"kind": "sequence",
                                             "jobs": [{"kind": "timer", "sleep": 0}]}])
        c = self.subscriber(since=0, jobs=[job["id"]])
        events = self.take_until(c, self.has_ended(job["id"]))
        self.assertEqual(len({e["job"]["id"] for e in events}), 4)
        ends = [e["job"]["id"] for e in events if e["type"] == "done"]
        self.assertEqual(len(ends), 4, "each ends once")
        self.assertEqual(ends[-1], job["id"], "and the composition last")
        self.c.call("job.cancel", {"ids": [other]})

    def test_an_end_of_very_many_is_short(self):
        """The errors of all parts are for job.get; an event leaves them out, and says so."""
        job = self.c.submit("gather", on_failure="continue", jobs=[
            {"kind": "timer", "sleep": 600, "timeout": 0.01} for _ in range(200)])
        c = self.subscriber(since=0, jobs=[job["id"]])
        told = self.take_until(c, self.has_ended(job["id"]))[-1]["job"]
        self.assertEqual((told["error"]["code"], told["error"]["errors"]), ("part_failed", []))
        self.assertIn("error", told["truncated"])
        whole = self.c.get(job["id"])
        self.assertEqual((len(whole["error"]["errors"]), whole["truncated"]), (200, []))

    def test_cancel_and_second_subscription(self):
        c = self.subscriber()
        number = self.c.call("job.submit", self.d.shell("sleep 600"))["id"]
        self.take_until(c, lambda e: e["type"] == "running")
        self.c.call("job.cancel", {"ids": [number]})
        events = self.take_until(c, self.has_ended(number))
        self.assertEqual([e["type"] for e in events], ["stopping", "done"])
        # A further subscription takes the place of the first, which is heard no more.
        c.call("events.subscribe", {"jobs": [number]})
        other = self.c.submit("timer", sleep=0)["id"]
        self.c.wait(other)
        self.assertEqual(c.call("events.unsubscribe"), {})
        self.assertEqual([n for n in c.notes if n["method"] == "event"], [])

    def test_other_peoples_jobs(self):
        if os.geteuid() != 0:
            self.skipTest("needs root")
        self.d.stop()
        d = self.daemon(user=(65534, 65534))
        root, own = self.client(d), self.client(d)
        root.call("events.subscribe")
        own.call("events.subscribe")
        number = own.submit("timer", sleep=0)["id"]
        self.take_until(root, self.has_ended(number))

    def test_removed_history_is_told(self):
        numbers = [self.c.submit("timer", sleep=0)["id"] for _ in range(3)]
        self.c.wait(*numbers)
        self.c.call("job.remove", {"ids": numbers[1:2]})
        c = self.subscriber(since=0)
        events = self.take_until(c, lambda e: e["job"] and self.has_ended(numbers[2])(e))
        self.assertEqual((events[0]["type"], events[0]["seq"], events[0]["job"]),
                         ("resync", 0, None))
        self.assertEqual({e["job"]["id"] for e in events[1:]}, {numbers[0], numbers[2]})
        # A number that was never dealt is answered with one that was.
        c = self.subscriber(since=1000000)
        self.assertEqual(c.note("event")["type"], "resync")

    def test_progress(self):
        web = self.web()
        c = self.subscriber()
        number = self.c.submit("fetch", url=web.url("/slow?size=200000&rate=100000"))["id"]
        events = self.take_until(c, self.has_ended(number))
        told = [e for e in events if e["type"] == "progress"]
        self.assert_done(events[-1]["job"])
        self.assertGreaterEqual(len(told), 2)
        self.assertLessEqual(len(told), 12, "at most four in a second")
        done = [e["job"]["progress"]["done"] for e in told]
        self.assertEqual(done, sorted(done))
        running = [e["seq"] for e in events if e["type"] == "running"]
        self.assertEqual({e["seq"] for e in told}, set(running), "they have no number of their own")

    def test_progress_of_a_part(self):
        web = self.web()
        job = self.c.submit("sequence", jobs=[{"kind": "gather", "jobs": [
            {"kind": "fetch", "url": web.url("/slow?size=100000&rate=100000")}]}])
        c, other = self.subscriber(since=0, jobs=[job["id"]]), self.subscriber(jobs=[job["id"] + 9])
        events = self.take_until(c, self.has_ended(job["id"]))
        self.assertIn("progress", [e["type"] for e in events])
        other.call("events.unsubscribe")
        self.assertEqual(other.notes, [])

    # ---- the command line ----

    def test_watch_until_it_has_ended(self):
        number = self.c.submit("timer", sleep=0.3, name="egg")["id"]
        r = self.d.ctl("watch", str(number))
        self.assertEqual(r.status, 0, r)
        fields = r.lines[-1].split("\t")
        self.assertEqual(fields[2:6], [str(number), "succeeded", "timer", "egg"])
        parse_time(fields[1])
        r = self.d.ctl("watch", str(number))
        self.assertEqual((r.status, r.out), (0, ""), "it has ended already")
        self.assertEqual(self.d.ctl("watch", "999").status, 4)

    def test_watch_since_and_json(self):
        number = self.c.submit("timer", sleep=0)["id"]
        self.c.wait(number)
        p = self.d.ctl_spawn("--json", "watch", "--since", "0")
        events = [json.loads(p.stdout.readline()) for _ in range(3)]
        self.assertEqual([e["type"] for e in events], ["submitted", "running", "done"])
        # It lives through a restart, and goes on behind what it has printed.
        self.d.restart()
        with self.d.client() as c:
            later = c.submit("timer", sleep=0)["id"]
        events += [json.loads(p.stdout.readline()) for _ in range(3)]
        self.assertEqual([e["job"]["id"] for e in events[3:]], [later] * 3)
        self.assertEqual([e["seq"] for e in events], [1, 2, 3, 4, 5, 6])
        p.send_signal(signal.SIGINT)
        p.communicate()

    def test_output_follows_into_the_next_attempt(self):
        begun = os.path.join(self.d.home, "begun")
        number = self.c.call("job.submit", self.d.shell(
            f"echo attempt $AWAITD_ATTEMPT; [ $AWAITD_ATTEMPT = 1 ] || exit 0; touch {begun}; "
            "sleep 600", on_lost="retry"))["id"]
        wait_until(lambda: os.path.exists(begun), 10, "the first attempt has begun")
        p = self.d.ctl_spawn("output", "-f", str(number))
        self.assertEqual(p.stdout.readline(), "attempt 1\n")
        self.d.kill9()
        self.d.start()
        out, err = p.communicate(timeout=60)
        self.assertEqual((p.returncode, out), (0, "attempt 2\n"), err)
        self.assertIn(f"attempt 2 of job {number}", err)

    def test_run_follows_into_the_next_attempt(self):
        r = self.d.ctl("run", "worker", "--retry-max", "2", "--retry-delay", "50ms", "--", "sh",
                       "-c", "echo $AWAITD_ATTEMPT; [ $AWAITD_ATTEMPT = 3 ]")
        self.assertEqual((r.status, r.out), (0, "1\n2\n3\n"), r)

    def test_top_is_printed_once_where_there_is_no_terminal(self):
        number = self.c.submit("timer", sleep=600, name="long")["id"]
        self.c.wait_state(number, "running")
        r = self.d.ctl("top")
        self.assertEqual(r.status, 0, r)
        self.assertRegex(r.out, r"(?m)^jobs +0 waiting, 1 running, 0 stopping$")
        self.assertIn("long", r.out)
        self.assertEqual(self.d.ctl("--json", "top").status, 2)
        self.c.call("job.cancel", {"ids": [number]})


if __name__ == "__main__":
    main()
