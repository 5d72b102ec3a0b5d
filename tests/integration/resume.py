#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Downloads that were cut off: the next attempt gets the rest, and nothing is left in the end."""
import hashlib
import json
import os
import sys
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import TestCase, main, wait_until
from httpd import body_bytes

SIZE = 100000
HALF = SIZE // 2
LONG = "1h"


class Resume(TestCase):
    def setUp(self):
        self.d = self.daemon()
        self.c = self.client(self.d)
        self.web = self.web()

    def again(self, how):
        """End the daemon and start another one."""
        how()
        self.d.start()
        self.c = self.client(self.d)

    def fetch(self, path, **keys):
        return self.c.submit("fetch", url=self.web.url(path), **keys)["id"]

    def asked(self, name):
        """The Range header of each request."""
        with urllib.request.urlopen(self.web.url(f"/asked/{name}")) as answer:
            return [span for span, _ in json.load(answer)]

    def parts(self):
        """What there is of downloads that are not complete."""
        found = [name for name in os.listdir(self.d.home) if name.endswith(".part")]
        for folder, _, names in os.walk(os.path.join(self.d.state, "output")):
            found += [name for name in names if name.endswith(".body")]
        return found

    def wait_half(self, number):
        wait_until(lambda: (self.c.get(number)["progress"] or {}).get("done") == HALF, 20,
                   "half of it is there")

    def wait_noted(self, number):
        """The first half is there, and how to go on is stored: it stands in SQLite's log."""
        note = f'"url":"{self.c.get(number)["spec"]["url"]}","file":'.encode()

        def is_noted():
            with open(os.path.join(self.d.state, "awaitd.db-wal"), "rb") as wal:
                return note in wal.read()
        self.wait_half(number)
        wait_until(is_noted, 20, "how to go on is stored")

    def remove(self, number):
        self.c.call("job.remove", {"ids": [number]})
        wait_until(lambda: not self.parts(), 10, "the body goes with the record")

    def assert_whole(self, job, size=SIZE, seed="1"):
        """The content is right, wherever it is."""
        self.assert_done(job)
        want = body_bytes(0, size, seed)
        if job["result"]["path"]:
            with open(job["result"]["path"], "rb") as f:
                got = f.read()
            self.assertEqual(self.parts(), [])
        else:
            got = self.c.output(job["id"])
            self.assertEqual(self.parts(), [f"{job['attempt']}.body"])
        self.assertTrue(got == want, "the content is another one")
        self.assertEqual(job["result"]["sha256"], hashlib.sha256(want).hexdigest())
        self.assertEqual((job["result"]["bytes"], job["result"]["status"]), (size, 200))

    def test_after_a_failure(self):
        for i, keys in enumerate(({}, {"output": "a"})):
            with self.subTest(keys):
                number = self.fetch(f"/part/failure{i}", retry={"max": 1, "delay": 0}, **keys)
                self.assert_whole(self.c.wait_one(number))
                self.assertEqual(self.asked(f"failure{i}"), [None, f"bytes={HALF}-"])
                self.remove(number)

    def test_after_timeouts(self):
        number = self.fetch("/part/late?cuts=2&after=30000&end=stall", timeout=2,
                            retry={"max": 5, "delay": 0}, output="a")
        self.assert_whole(self.c.wait_one(number))
        spans = self.asked("late")
        # On a busy machine an attempt may be over before it got anything.
        self.assertIsNone(spans[0])
        self.assertIn(spans[-1], ("bytes=30000-", "bytes=60000-"))

    def test_after_kill9(self):
        for i, keys in enumerate(({}, {"output": "a"})):
            with self.subTest(keys):
                number = self.fetch(f"/part/kill{i}?end=stall", **keys)
                self.wait_noted(number)
                self.again(self.d.kill9)
                job = self.c.wait_one(number)
                self.assertEqual(job["attempt"], 2)
                self.assertEqual(self.asked(f"kill{i}"), [None, f"bytes={HALF}-"])
                self.assert_whole(job)
                self.remove(number)

    def test_after_an_orderly_stop(self):
        number = self.fetch("/part/stop?end=stall", output="a")
        self.wait_half(number)
        self.again(self.d.stop)
        self.assert_whole(self.c.wait_one(number))
        self.assertEqual(self.asked("stop"), [None, f"bytes={HALF}-"])

    def test_what_is_there_after_a_kill_is_checked(self):
        """Somebody cut the file meanwhile, or there is another one: it begins where it can."""
        def cut(path):
            os.truncate(path, 1000)

        def replace(path):
            with open(path, "rb") as f:
                data = f.read()
            os.unlink(path)
            with open(path, "wb") as f:
                f.write(data[::-1])
        for i, (meddle, span) in enumerate(((cut, "bytes=1000-"), (replace, None))):
            with self.subTest(meddle.__name__):
                number = self.fetch(f"/part/meddle{i}?end=stall", output=f"m{i}")
                self.wait_noted(number)
                self.d.kill9()
                # Held open, so that its number is not used again.
                path = os.path.join(self.d.home, self.parts()[0])
                with open(path, "rb"):
                    meddle(path)
                    self.d.start()
                self.c = self.client(self.d)
                self.assert_whole(self.c.wait_one(number))
                self.assertEqual(self.asked(f"meddle{i}"), [None, span])

    def test_a_large_one_in_several_steps(self):
        size, after = 40 << 20, 30 << 20
        number = self.fetch(f"/part/large?size={size}&after={after}", output="a",
                            retry={"max": 1, "delay": 0})
        self.assert_whole(self.c.wait_one(number, timeout=60), size)
        self.assertEqual(self.asked("large"), [None, f"bytes={after}-"])

    def test_a_changed_file_begins_anew(self):
        number = self.fetch("/part/changed?change=2", output="a", retry={"max": 1, "delay": 0})
        self.assert_whole(self.c.wait_one(number), seed="1x")
        self.assertEqual(self.asked("changed"), [None, f"bytes={HALF}-"])

    def test_a_changed_file_of_a_server_that_does_not_look(self):
        number = self.fetch("/part/blind?change=2&rest=blind", output="a",
                            retry={"max": 1, "delay": 0})
        self.assert_whole(self.c.wait_one(number), seed="1x")
        self.assertEqual(self.asked("blind"), [None, f"bytes={HALF}-", None])

    def test_not_where_it_is_not_wanted(self):
        number = self.fetch("/part/unwanted", output="a", resume=False,
                            retry={"max": 1, "delay": 0})
        self.assert_whole(self.c.wait_one(number))
        self.assertEqual(self.asked("unwanted"), [None, None])
        r = self.d.ctl("run", "fetch", "--no-resume", "--retry-max", "1", "--retry-delay", "0",
                       "--output", "b", self.web.url("/part/option"), cwd=self.d.home)
        self.assertEqual(r.status, 0, r)
        self.assertEqual(self.asked("option"), [None, None])

    # ---- nothing is left ----

    def waiting_with_a_part(self, name, **keys):
        number = self.fetch(f"/part/{name}", retry={"max": 1, "delay": LONG}, **keys)
        wait_until(lambda: self.c.get(number)["reason"] == "backoff", 10, "it waits to try again")
        self.assertEqual(len(self.parts()), 1)
        return number

    def test_a_cancel_in_the_back_off_removes_it(self):
        for keys in ({}, {"output": "a"}):
            for how in ("", "kill9", "stop"):
                with self.subTest(keys=keys, after=how):
                    number = self.waiting_with_a_part(f"cancel-{how}-{len(keys)}", **keys)
                    if how:
                        self.again(getattr(self.d, how))
                    self.c.call("job.cancel", {"ids": [number]})
                    self.assert_done(self.c.wait_one(number), "cancelled")
                    self.assertEqual(self.parts(), [])

    def test_a_deadline_in_the_back_off_removes_it(self):
        number = self.fetch("/part/deadline", retry={"max": 1, "delay": LONG}, deadline=2,
                            output="a")
        self.assert_done(self.c.wait_one(number), "timed_out")
        self.assertNotIn(f"bytes={HALF}-", self.asked("deadline"))
        self.assertEqual(self.parts(), [])

    def test_a_part_that_is_not_wanted_any_more_leaves_none(self):
        """Its race is won by another one while it waits to try again."""
        number = self.c.submit("race", jobs=[
            {"kind": "fetch", "url": self.web.url("/part/race"), "output": "a",
             "retry": {"max": 1, "delay": LONG}},
            {"kind": "timer", "sleep": 1}])["id"]
        job = self.c.wait_one(number)
        self.assertEqual(job["result"]["winner"], 1)
        self.assertNotIn(f"bytes={HALF}-", self.asked("race"))
        self.assertEqual(self.parts(), [])

    def test_the_last_failure_leaves_nothing(self):
        for keys in ({}, {"output": "a"}):
            with self.subTest(keys):
                number = self.fetch("/part/last?cuts=9&after=10000",
                                    retry={"max": 1, "delay": 0}, **keys)
                job = self.assert_done(self.c.wait_one(number), "failed")
                self.assertEqual(job["error"]["code"], "network")
                self.assertEqual(self.parts(), [])

    def test_a_wrong_checksum_leaves_nothing(self):
        number = self.fetch("/part/sum", checksum="sha256:" + "0" * 64, output="a",
                            retry={"max": 1, "delay": 0})
        job = self.assert_done(self.c.wait_one(number), "failed")
        self.assertEqual(job["error"]["code"], "checksum")
        self.assertEqual(self.parts(), [])

    def test_a_lost_one_leaves_nothing(self):
        number = self.fetch("/part/lost?end=stall", on_lost="fail", output="a")
        self.wait_half(number)
        self.again(self.d.kill9)
        self.assert_done(self.c.wait_one(number), "lost")
        self.assertEqual(self.parts(), [])

    def test_a_cancel_after_a_crash_removes_it(self):
        """The next attempt has to wait for its turn, which never comes."""
        number = self.fetch("/part/paused?end=stall", output="a")
        self.wait_noted(number)
        self.c.call("queue.pause", {"name": "fetch"})
        self.again(self.d.kill9)
        self.c.wait_state(number, "waiting")
        self.assertEqual(len(self.parts()), 1)
        self.c.call("job.cancel", {"ids": [number]})
        self.assert_done(self.c.wait_one(number), "cancelled")
        self.assertEqual(self.parts(), [])
        self.assertEqual(self.asked("paused"), [None])


if __name__ == "__main__":
    main()
