#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Hold, release, update, why, retry: how a job waits, changed and explained; and once more."""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import RpcError, TestCase, main, parse_time, wait_until


class Edit(TestCase):
    def setUp(self):
        self.d = self.daemon()
        self.c = self.client(self.d)

    def waiting(self, **keys):
        """A job that waits for an hour."""
        return self.c.submit("timer", sleep=0, **{"delay": 3600, **keys})["id"]

    def why(self, number):
        answer = self.c.call("job.why", {"id": number})
        self.assertEqual(set(answer), {"state", "reason", "message", "until", "waits_for"})
        self.assert_sentence(answer["message"])
        return answer

    # ---- hold, release ----

    def test_a_held_job_does_not_start(self):
        number = self.c.submit("timer", sleep=0, delay=0.3)["id"]
        got = self.c.call("job.hold", {"ids": [number]})
        self.assertEqual(got["errors"], [])
        self.assertEqual([(j["id"], j["state"], j["reason"]) for j in got["jobs"]],
                         [(number, "waiting", "held")])
        # Its time comes and goes; what was submitted later runs.
        self.c.wait(self.c.submit("timer", sleep=0, delay=0.6)["id"])
        self.assertEqual(self.c.get(number)["reason"], "held")
        self.assertEqual(self.why(number)["reason"], "held")
        got = self.c.call("job.release", {"ids": [number]})
        self.assertEqual(got["errors"], [])
        self.assert_done(self.c.wait_one(number))

    def test_what_looks_sees_what_was_asked_before(self):
        """Pipelined: requests of one connection take effect in order."""
        number = self.waiting()
        for i in range(20):
            asked = [self.c.request(method, params) for method, params in (
                ("job.update", {"id": number, "priority": i}),
                ("job.get", {"id": number}),
                ("job.hold", {"ids": [number]}),
                ("job.list", {"state": "waiting"}),
                ("job.why", {"id": number}),
                ("job.release", {"ids": [number]}),
                ("job.wait", {"ids": [number], "timeout": 0}))]
            got = [self.c.reply(n) for n in asked]
            self.assertEqual(got[1]["priority"], i)
            self.assertEqual([j["reason"] for j in got[3]["jobs"]], ["held"])
            self.assertEqual(got[4]["reason"], "held")
            self.assertEqual(got[6]["jobs"][0]["reason"], "time")
        asked = [self.c.request(method, {"ids": [number]})
                 for method in ("job.cancel", "job.retry", "job.remove", "job.wait")]
        again = self.c.reply(asked[1])["jobs"][0]["id"]
        self.assertEqual(self.c.reply(asked[2])["jobs"][0]["outcome"], "cancelled")
        with self.assertRaisesRegex(RpcError, "not_found"):
            self.c.reply(asked[3])
        self.c.wait_one(again)

    def test_a_hold_survives(self):
        number = self.c.submit("timer", sleep=0, delay=0.5)["id"]
        self.c.call("job.hold", {"ids": [number]})
        self.d.kill9()
        self.d.start()
        c = self.client(self.d)
        c.wait(c.submit("timer", sleep=0, delay=0.5)["id"])
        self.assertEqual(c.get(number)["reason"], "held")
        c.call("job.release", {"ids": [number]})
        self.assert_done(c.wait_one(number))

    def test_each_id_for_itself(self):
        good, done = self.waiting(), self.c.submit("timer", sleep=0)["id"]
        self.c.wait(done)
        got = self.c.call("job.hold", {"ids": [good, done, 999, good]})
        self.assertEqual([j["id"] for j in got["jobs"]], [good])
        self.assertEqual([(e["id"], e["code"]) for e in got["errors"]],
                         [(done, "wrong_state"), (999, "not_found")])
        self.assertEqual(self.c.call_error("job.release", {"ids": [done]}).word, "wrong_state")
        # Twice is no error, neither of one nor of the other.
        for method in ("job.hold", "job.release", "job.release"):
            self.assertEqual(self.c.call(method, {"ids": [good]})["errors"], [])
        self.c.call("job.cancel", {"ids": [good]})

    def test_running_ones_are_refused(self):
        number = self.c.submit("timer", sleep=600)["id"]
        self.c.wait_state(number, "running")
        for method, params in (("job.hold", {"ids": [number]}),
                               ("job.update", {"id": number, "priority": 3})):
            self.assertEqual(self.c.call_error(method, params).word, "wrong_state", method)
        self.c.call("job.cancel", {"ids": [number]})

    # ---- update ----

    def test_update_everything(self):
        self.c.call("queue.set", {"name": "other", "limit": 1})
        number = self.c.call("job.submit", self.d.shell("true", delay=3600, tags=["a"]))["id"]
        job = self.c.call("job.update", {"id": number, "priority": 7, "queue": "other",
                                         "name": "new", "tags": ["x", "y"],
                                         "at": "2099-01-01T00:00:00+01:00"})
        wanted = {"priority": 7, "queue": "other", "name": "new", "tags": ["x", "y"],
                  "due_at": "2098-12-31T23:00:00.000Z", "state": "waiting"}
        self.assertEqual({k: job[k] for k in wanted}, wanted)
        self.d.kill9()
        self.d.start()
        c = self.client(self.d)
        job = c.get(number)
        self.assertEqual({k: job[k] for k in wanted}, wanted)
        # null is what a document means that does not have the key.
        job = c.call("job.update", {"id": number, "priority": None, "queue": None, "name": None,
                                    "tags": None})
        self.assertEqual((job["priority"], job["queue"], job["name"], job["tags"]),
                         (0, "worker", None, []))
        self.assert_done(c.call("job.update", {"id": number, "at": None}) and c.wait_one(number))

    def test_due_now(self):
        number = self.waiting()
        begun = time.time()
        self.c.call("job.update", {"id": number, "delay": "50ms"})
        job = self.assert_done(self.c.wait_one(number))
        self.assertGreaterEqual(parse_time(job["started_at"]), begun + 0.04)

    def test_the_past_is_at_once(self):
        for at, shown in (("2001-01-01T00:00:00Z", "2001-01-01T00:00:00.000Z"),
                          ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.500Z"),
                          ("0001-01-01T00:00:00+01:00", "0000-12-31T23:00:00.000Z")):
            with self.subTest(at):
                job = self.c.wait_one(self.c.submit("timer", sleep=0, at=at)["id"])
                self.assert_done(job)
                self.assertEqual((job["spec"]["at"], job["due_at"]), (shown, None))
                number = self.c.submit("timer", sleep=0, delay=3600)["id"]
                self.c.call("job.update", {"id": number, "at": at})
                self.assert_done(self.c.wait_one(number))
                r = self.d.ctl("run", "timer", "--at", at, "0")
                self.assertEqual(r.status, 0, r)

    def test_priority_is_what_counts(self):
        self.c.call("queue.set", {"name": "one", "limit": 1})
        self.c.call("queue.pause", {"name": "one"})
        path = os.path.join(self.d.home, "order")
        numbers = [self.c.call("job.submit", self.d.shell(f"echo $AWAITD_JOB_ID >> {path}",
                                                          queue="one"))["id"] for _ in range(3)]
        self.c.call("job.update", {"id": numbers[2], "priority": 1})
        self.c.call("queue.resume", {"name": "one"})
        self.c.wait(*numbers)
        with open(path, encoding="ascii") as f:
            self.assertEqual([int(x) for x in f], [numbers[2], numbers[0], numbers[1]])

    def test_ranges_are_the_documents(self):
        number = self.waiting()
        for params, path in (({"priority": 1001}, "/priority"), ({"priority": "1"}, "/priority"),
                             ({"name": ""}, "/name"), ({"name": "a\nb"}, "/name"),
                             ({"tags": ["a", "a"]}, "/tags/1"), ({"delay": -1}, "/delay"),
                             ({"at": "tomorrow"}, "/at"), ({"at": None, "delay": 1}, "/at"),
                             ({"queue": "worker"}, "/queue"), ({"sleep": 3}, "/sleep"), ({}, "")):
            e = self.c.call_error("job.update", {"id": number, **params})
            self.assertEqual((e.word, e.data.get("path")), ("params", path), params)
            self.assert_sentence(e.message)
        worker = self.c.call("job.submit", self.d.shell("true", delay=3600))["id"]
        e = self.c.call_error("job.update", {"id": worker, "queue": "nowhere"})
        self.assertEqual((e.word, e.data.get("path")), ("not_found", "/queue"))
        self.assertEqual(self.c.call_error("job.update", {"id": 999, "priority": 1}).word,
                         "not_found")
        self.c.call("job.cancel", {"ids": [number, worker]})

    def test_it_is_an_event(self):
        number = self.waiting()
        c = self.client(self.d)
        c.call("events.subscribe", {"jobs": [number]})
        self.c.call("job.update", {"id": number, "name": "new"})
        event = c.note("event")
        self.assertEqual((event["type"], event["job"]["name"]), ("changed", "new"))
        self.c.call("job.cancel", {"ids": [number]})

    # ---- why ----

    def test_why(self):
        due = self.waiting()
        answer = self.why(due)
        self.assertEqual((answer["state"], answer["reason"]), ("waiting", "time"))
        self.assertEqual(answer["until"], self.c.get(due)["due_at"])

        needy = self.c.submit("timer", sleep=0, needs=[due])["id"]
        answer = self.why(needy)
        self.assertEqual((answer["reason"], answer["waits_for"]), ("needs", [due]))
        self.assertIn(str(due), answer["message"])

        self.c.call("queue.pause", {"name": "worker"})
        paused = self.c.call("job.submit", self.d.shell("true"))["id"]
        self.assertEqual(self.why(paused)["reason"], "paused")

        running = self.c.submit("timer", sleep=600)["id"]
        self.c.wait_state(running, "running")
        answer = self.why(running)
        self.assertEqual((answer["state"], answer["reason"]), ("running", None))

        self.c.call("job.cancel", {"ids": [due, running, paused]})
        self.c.wait(due, running, needy)
        answer = self.why(due)
        self.assertEqual((answer["state"], answer["reason"], answer["waits_for"]),
                         ("done", None, []))
        self.assertEqual(self.c.get(needy)["outcome"], "skipped")
        self.assertEqual(self.c.call_error("job.why", {"id": 999}).word, "not_found")

    def test_the_answer_to_a_submit_shows_what_it_is_tied_to(self):
        first = self.waiting()
        job = self.c.submit("gather", needs=[{"job": first, "on": "done"}], jobs=[
            {"kind": "timer", "sleep": 0},
            {"kind": "race", "jobs": [{"kind": "timer", "sleep": 0}]},
            {"kind": "timer", "sleep": 0}])
        seen = self.c.get(job["id"])
        for key in ("children", "needs", "parent", "index", "retry_of"):
            self.assertEqual(job[key], seen[key], key)
        self.assertEqual(len(job["children"]), 3)
        self.assertEqual(job["needs"], [{"job": first, "on": "done"}])
        part = self.c.get(job["children"][2])
        self.assertEqual((part["parent"], part["index"]), (job["id"], 2))
        self.c.call("job.cancel", {"ids": [first, job["id"]]})

    # ---- retry ----

    def test_retry_is_a_new_job(self):
        flag = os.path.join(self.d.home, "flag")
        old = self.c.call("job.submit", self.d.shell(f"test -e {flag}", name="try", tags=["t"],
                                                     key="once", delay=0.05, priority=4))
        self.assert_done(self.c.wait_one(old["id"]), "failed")
        open(flag, "w", encoding="ascii").close()
        got = self.c.call("job.retry", {"ids": [old["id"]]})
        self.assertEqual(got["errors"], [])
        new = got["jobs"][0]
        self.assertNotEqual(new["id"], old["id"])
        self.assertEqual((new["retry_of"], new["name"], new["tags"], new["priority"], new["key"]),
                         (old["id"], "try", ["t"], 4, None))
        self.assertNotIn("delay", new["spec"])
        self.assert_done(self.c.wait_one(new["id"]))
        self.assertEqual(self.c.get(new["id"])["retry_of"], old["id"])
        self.assertEqual(self.c.get(old["id"])["outcome"], "failed", "the old one stays as it is")
        # Secrets stay what they were, though no reply to a list of ids shows them.
        self.assertNotIn("***", str(self.c.get(new["id"])["spec"]))

    def test_retry_of_what_is_not_done(self):
        number = self.waiting()
        self.assertEqual(self.c.call_error("job.retry", {"ids": [number]}).word, "wrong_state")
        self.assertEqual(self.c.call_error("job.retry", {"ids": [999]}).word, "not_found")
        self.c.call("job.cancel", {"ids": [number]})

    def test_retry_takes_what_was_updated(self):
        number = self.waiting(name="old")
        self.c.call("job.update", {"id": number, "name": "new"})
        self.c.call("job.cancel", {"ids": [number]})
        self.c.wait(number)
        job = self.c.call("job.retry", {"ids": [number]})["jobs"][0]
        self.assertEqual((job["name"], job["spec"]["name"]), ("new", "new"))
        self.assert_done(self.c.wait_one(job["id"]))

    def test_retry_keeps_its_needs(self):
        ids = self.c.call("job.submit_many", {"jobs": [
            {"kind": "timer", "sleep": 0},
            {"kind": "timer", "sleep": 0, "needs": [{"job": "@0", "on": "done"}]}]})["ids"]
        self.c.wait(*ids)
        job = self.c.call("job.retry", {"ids": ids[1:]})["jobs"][0]
        self.assertEqual(job["needs"], [{"job": ids[0], "on": "done"}])
        self.assert_done(self.c.wait_one(job["id"]))

    def test_retry_of_a_composition_and_of_a_part(self):
        job = self.c.submit("gather", jobs=[{"kind": "timer", "sleep": 0, "value": 1},
                                            {"kind": "timer", "sleep": 0, "value": 2,
                                             "shield": True}])
        self.c.wait(job["id"])
        again = self.c.call("job.retry", {"ids": [job["id"]]})["jobs"][0]
        done = self.c.wait_one(again["id"])
        self.assertEqual(done["result"], [1, 2])
        self.assertEqual(len(done["children"]), 2)
        self.assertFalse(set(done["children"]) & set(self.c.get(job["id"])["children"]))
        part = self.c.call("job.retry", {"ids": done["children"][1:]})["jobs"][0]
        self.assertIsNone(part["parent"], "it stands on its own")
        self.assertEqual(self.c.wait_one(part["id"])["result"], 2)

    # ---- the command line ----

    def test_command_line(self):
        number = str(self.waiting())
        for words in (["hold", number], ["release", number], ["hold", number]):
            r = self.d.ctl(*words)
            self.assertEqual((r.status, r.out), (0, ""), r)
        r = self.d.ctl("why", number)
        self.assertEqual(r.status, 0, r)
        self.assertRegex(r.out, r"^waiting \(held\): ")
        r = self.d.ctl("update", "--priority", "3", "--name", "n", "--tags", "a,b", number)
        self.assertEqual((r.status, r.out), (0, ""), r)
        job = self.c.get(int(number))
        self.assertEqual((job["priority"], job["name"], job["tags"]), (3, "n", ["a", "b"]))
        self.assertEqual(self.d.ctl("update", "--clear", "name,tags,at", number).status, 0)
        job = self.c.get(int(number))
        self.assertEqual((job["name"], job["tags"], job["due_at"]), (None, [], None))
        self.assertEqual(self.d.ctl("update", number).status, 2)
        self.assertEqual(self.d.ctl("update", "--clear", "sleep", number).status, 2)
        self.assertEqual(self.d.ctl("update", "--priority", "x", number).status, 2)
        self.assertEqual(self.d.ctl("release", number).status, 0)
        self.assertEqual(self.d.ctl("wait", number).status, 0)
        self.assertEqual(self.d.ctl("hold", number).status, 4)
        r = self.d.ctl("retry", number)
        self.assertEqual(r.status, 0, r)
        new = int(r.out)
        self.assertEqual(self.c.get(new)["retry_of"], int(number))
        r = self.d.ctl("--json", "why", str(new))
        self.assertEqual(set(r.json), {"state", "reason", "message", "until", "waits_for"})

    def test_by_filter(self):
        numbers = [self.waiting(tags=["t"]) for _ in range(3)] + [self.waiting()]
        for verb, reason in (("hold", "held"), ("release", "time")):
            r = self.d.ctl(verb, "--tag", "t")
            self.assertEqual((r.status, r.out), (0, ""), r)
            self.assertEqual([self.c.get(n)["reason"] for n in numbers], [reason] * 3 + ["time"])
        self.c.call("job.cancel", {"ids": numbers})
        self.c.wait(*numbers)
        r = self.d.ctl("retry", "--tag", "t")
        self.assertEqual(r.status, 0, r)
        self.assertEqual([self.c.get(int(n))["retry_of"] for n in r.lines], numbers[:3])
        self.c.wait(*map(int, r.lines))

    def test_show_and_timeline_of_a_tree(self):
        job = self.c.submit("sequence", name="story", jobs=[
            {"kind": "timer", "name": "first", "sleep": 0.1},
            self.d.shell("exit 3", retry={"max": 1, "delay": 0.05})])
        self.c.wait(job["id"])
        job = self.c.get(job["id"])
        r = self.d.ctl("show", str(job["id"]))
        self.assertRegex(r.out, rf"(?m)^children: +{job['children'][0]}, {job['children'][1]}$")
        r = self.d.ctl("timeline", str(job["id"]))
        self.assertEqual(r.status, 0, r)
        self.assertEqual(len(r.lines), 4, "a scale, and a line for each")
        self.assertIn("first", r.out)
        self.assertIn("failed (exit 3), 2 attempts", r.out)
        self.assertTrue(all(len(line) <= 100 for line in r.lines), r.out)
        r = self.d.ctl("--json", "timeline", str(job["id"]))
        self.assertEqual(len(r.lines), 3)

    def test_the_tree_of_list(self):
        numbers = self.c.call("job.submit_many", {"jobs": [
            {"kind": "gather", "name": "big", "jobs": [{"kind": "timer", "sleep": 600}] * 30},
            {"kind": "timer", "sleep": 600}]})["ids"]
        wait_until(lambda: len(self.c.list_all(state="running")) == 32, 10, "all run")
        r = self.d.ctl("list", "--all")
        self.assertEqual(len(r.lines), 1 + 32, "elsewhere a line for each job")
        r = self.d.ctl("list", "--parent", str(numbers[0]))
        self.assertEqual(len(r.lines), 1 + 30)
        r = self.d.ctl("list", "--parent", "none")
        self.assertEqual(len(r.lines), 1 + 2)
        lines = self.on_terminal("list")
        self.assertEqual(len(lines), 1 + 1 + 10 + 1 + 1, lines)
        self.assertRegex(lines[12], r"└─ 20 more .*--parent")
        self.assertEqual(len(self.on_terminal("list --flat")), 1 + 32)
        self.assertEqual(len(self.on_terminal("list --all")), 1 + 32)
        self.c.call("job.cancel", {"ids": numbers})
        self.c.wait(*numbers)

    def test_what_is_escaped_is_escaped_once(self):
        name = r"a backslash: \x41"
        number = self.waiting(name=name, tags=["escaped"])
        plain = self.d.ctl("list", "--tag", "escaped").lines[1].split("\t")[2]
        self.assertIn(plain, self.on_terminal("list --tag escaped")[1])
        self.c.call("job.cancel", {"ids": [number]})

    def on_terminal(self, words):
        """The lines that awaitctl draws on a terminal, 100 columns wide."""
        import pty
        import subprocess
        from awaitd_test import AWAITCTL
        main_end, other = pty.openpty()
        env = {**self.d.env, "TERM": "dumb", "COLUMNS": "100"}
        p = subprocess.Popen([AWAITCTL, "--socket", self.d.socket, *words.split()], env=env,
                             stdin=other, stdout=other, stderr=subprocess.DEVNULL)
        os.close(other)
        text = b""
        while True:
            try:
                got = os.read(main_end, 65536)
            except OSError:
                break
            if not got:
                break
            text += got
        os.close(main_end)
        self.assertEqual(p.wait(), 0)
        self.assertTrue(text.endswith(b"\n"), "the last line has its end")
        return text.decode().splitlines()


if __name__ == "__main__":
    main()
