#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""awaitctl: exit statuses, --json, help, errors."""
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import AWAITCTL, TestCase, main, scaled, wait_until

VERBS = ("submit", "run", "list", "show", "wait", "cancel", "remove", "output", "stats", "info",
         "queue", "reload", "shutdown", "call")


class Client(TestCase):
    def setUp(self):
        self.d = self.daemon()
        self.c = self.client(self.d)
        self.ctl = self.d.ctl

    def json(self, *words, status=0):
        """The protocol's result, and nothing else, on standard output."""
        r = self.ctl("--json", *words)
        self.assertEqual(r.status, status, r)
        self.assertEqual(r.err, "")
        return r.json

    def timer(self, *options):
        r = self.ctl("submit", "timer", *options)
        self.assertEqual(r.status, 0, r)
        self.assertRegex(r.out, r"\A[1-9][0-9]*\n\Z", "the id alone")
        return int(r.out)

    # ---- help and usage

    def test_help(self):
        r = self.ctl("--help")
        self.assertEqual((r.status, r.err), (0, ""))
        for verb in VERBS:
            self.assertIn(verb, r.out)
            one = self.ctl(verb, "--help")
            self.assertEqual((one.status, one.err), (0, ""), verb)
            self.assertIn(verb, one.out)
        self.assertLessEqual(max(map(len, r.lines)), 100)

    def test_help_lists_the_documents_keys(self):
        text = "".join(self.ctl("submit", kind, "--help").out
                       for kind in ("timer", "fetch", "worker"))
        for key in ("delay", "at", "name", "tag", "priority", "timeout", "grace", "key", "output",
                    "overwrite", "method", "header", "checksum", "max-size", "cwd", "env", "value"):
            self.assertRegex(text, rf"--(\[no-\])?{key}\b")

    def test_version(self):
        r = self.ctl("--version")
        self.assertEqual(r.status, 0)
        self.assertRegex(r.out, r"awaitctl.* \d+\.\d+")

    def test_usage_errors(self):
        for words in ((), ("explode",), ("--explode",), ("show",), ("show", "x"), ("show", "0"),
                      ("cancel",), ("wait",), ("submit",), ("submit", "cook"),
                      ("submit", "timer"), ("submit", "timer", "--explode", "1"),
                      ("submit", "timer", "1", "2"), ("submit", "fetch"),
                      ("submit", "worker"), ("submit", "worker", "--"), ("output",),
                      ("call",), ("call", "job.get", "{nonsense"), ("queue", "explode"),
                      ("wait", "1", "--timeout"), ("list", "--limit", "x")):
            with self.subTest(words=words):
                r = self.ctl(*words)
                self.assertEqual((r.status, r.out), (2, ""), r)
                self.assertTrue(r.err.strip())

    # ---- no daemon

    def test_no_daemon(self):
        r = self.ctl("--socket", "/nonexistent/awaitd.sock", "info", socket_option=False)
        self.assertEqual((r.status, r.out), (3, ""))
        self.assertIn("/nonexistent/awaitd.sock", r.err)
        self.assertIn("awaitd", r.err)

    def test_refused_connection_does_not_fall_through(self):
        self.d.kill9()
        self.assertTrue(os.path.exists(self.d.socket))
        r = self.ctl("info")
        self.assertEqual((r.status, r.out), (3, ""))
        self.assertIn(self.d.socket, r.err)

    def test_socket_from_the_environment(self):
        r = self.ctl("--json", "info", socket_option=False, env={"AWAITD_SOCKET": self.d.socket})
        self.assertEqual(r.status, 0, r)
        self.assertEqual(r.json["pid"], self.d.pid)

    # ---- verbs

    def test_info_and_stats(self):
        info = self.json("info")
        self.assertEqual(info, self.c.call("daemon.info"))
        self.assertEqual((info["name"], info["pid"], info["uid"], info["state_dir"]),
                         ("awaitd", self.d.pid, os.getuid(), self.d.state))
        for words in (("info",), ("stats",)):
            r = self.ctl(*words)
            self.assertEqual((r.status, r.err), (0, ""))
            self.assertTrue(r.out)
        self.assertIsInstance(self.json("stats"), dict)

    def test_submit_options(self):
        number = self.timer("--name", "n", "--tag", "a", "--tag", "b", "--priority", "-5",
                            "--delay", "1h", "--value", '{"x": [1, 2]}', "--timeout", "2min",
                            "--grace", "1s", "--key", "k", "30s")
        job = self.c.get(number)
        self.assertEqual((job["name"], job["tags"], job["priority"], job["key"]),
                         ("n", ["a", "b"], -5, "k"))
        self.assertEqual(job["spec"], {**job["spec"], "sleep": 30, "delay": 3600, "timeout": 120,
                                       "grace": 1, "value": {"x": [1, 2]}})
        self.assertEqual((job["state"], job["reason"]), ("waiting", "time"))

    def test_submit_at(self):
        number = self.timer("--at", "2031-05-06T07:08:09+02:00", "0")
        self.assertEqual(self.c.get(number)["due_at"], "2031-05-06T05:08:09.000Z")

    def test_submit_worker_takes_the_clients_directory(self):
        folder = os.path.join(self.d.home, "here")
        os.mkdir(folder)
        r = self.ctl("run", "worker", "--", "pwd", cwd=folder)
        self.assertEqual((r.status, r.out), (0, folder + "\n"), r)
        os.mkdir(os.path.join(folder, "sub"))
        r = self.ctl("run", "worker", "--cwd", "sub", "--", "pwd", cwd=folder)
        self.assertEqual((r.status, r.out), (0, folder + "/sub\n"), r)

    def test_worker_words_are_kept_as_they_are(self):
        words = ["a b", "", "--json", "$HOME", "*", "ü\n", "-n"]
        r = self.ctl("run", "worker", "--", "printf", "<%s>", *words)
        self.assertEqual(r.out, "".join(f"<{w}>" for w in words), r)

    def test_worker_environment(self):
        r = self.ctl("run", "worker", "--env", "A=1", "--env", "B=x=y z", "--",
                     "sh", "-c", 'echo "$A $B"')
        self.assertEqual((r.status, r.out), (0, "1 x=y z\n"), r)

    def test_refusals_are_4(self):
        for words in (("show", "999999"), ("wait", "999999"), ("output", "999999"),
                      ("remove", "999999"), ("submit", "timer", "--priority", "5000", "1"),
                      ("submit", "worker", "--queue", "nowhere", "--", "true"),
                      ("submit", "fetch", "ftp://x/"), ("call", "job.explode"),
                      ("call", "job.get", '{"id": 999999}')):
            with self.subTest(words=words):
                r = self.ctl(*words)
                # What the client can see by itself is a matter of usage.
                wanted = (2, 4) if words[:2] == ("submit", "timer") or "ftp://x/" in words else (4,)
                self.assertIn(r.status, wanted, r)
                self.assertEqual(r.out, "")
                self.assertTrue(r.err.strip())

    def test_json_errors(self):
        r = self.ctl("--json", "show", "999999")
        self.assertEqual((r.status, r.out), (4, ""))
        self.assertEqual(json.loads(r.err)["error"]["data"]["code"], "not_found")
        r = self.ctl("--json", "--socket", "/nonexistent/x", "info", socket_option=False)
        self.assertEqual((r.status, r.out), (3, ""))
        self.assertIn("message", json.loads(r.err)["error"])

    def test_show(self):
        number = self.timer("--value", '"v"', "0")
        self.c.wait_one(number)
        self.assertEqual(self.json("show", str(number)), self.c.get(number))
        r = self.ctl("show", str(number))
        self.assertEqual(r.status, 0, r)
        for word in (str(number), "timer", "succeeded"):
            self.assertIn(word, r.out)

    def test_list(self):
        numbers = [self.timer("--delay", "1h", "--name", f"n{i}", "0") for i in range(3)]
        ended = self.timer("0")
        self.c.wait_one(ended)
        r = self.ctl("list")
        self.assertEqual((r.status, r.err), (0, ""))
        for number in numbers + [ended]:
            self.assertRegex(r.out, rf"\b{number}\b")
        self.assertNotIn("\x1b", r.out, "no colour into a pipe")
        got = self.json("list", "--state", "waiting")
        self.assertEqual(sorted(j["id"] for j in got["jobs"]), numbers)
        r = self.ctl("list", "--state", "waiting")
        self.assertNotRegex(r.out, rf"^\s*{ended}\b")

    def test_text_of_others_is_made_harmless(self):
        """What comes from a document cannot speak to the terminal."""
        number = self.c.submit("timer", sleep=0, value="\x1b]0;owned\x07\x1b[2J")["id"]
        self.c.wait_one(number)
        for words in (("show", str(number)), ("list",), ("--json", "show", str(number))):
            self.assertNotIn("\x1b", self.ctl(*words).out, words)

    def test_wait(self):
        good, bad = self.timer("0.1"), int(self.ctl("submit", "worker", "--", "false").out)
        self.assertEqual(self.ctl("wait", str(good)).status, 0)
        self.assertEqual(self.ctl("wait", str(good), str(bad)).status, 1)
        self.assertEqual(self.ctl("wait", str(bad)).status, 1)
        slow = self.timer("600")
        began = time.monotonic()
        r = self.ctl("wait", str(slow), "--timeout", "300ms")
        self.assertEqual(r.status, 124, r)
        self.assertLess(time.monotonic() - began, scaled(5))
        self.assertEqual(self.ctl("wait", "--any", str(slow), str(good)).status, 0)
        self.assertEqual(self.ctl("wait", "--any", str(slow), str(bad)).status, 1)
        got = self.json("wait", str(good))
        self.assertEqual(([j["id"] for j in got["jobs"]], got["timed_out"]), ([good], False))

    def test_run_timer(self):
        r = self.ctl("run", "timer", "--value", '{"a":  [1, "x"]}', "0")
        self.assertEqual((r.status, r.err), (0, ""))
        self.assertEqual(r.out.count("\n"), 1, "one line")
        self.assertEqual(json.loads(r.out), {"a": [1, "x"]})
        r = self.ctl("run", "timer", "0")
        self.assertEqual((r.status, r.out), (0, ""), "null is not printed")
        job = self.json("run", "timer", "0")
        self.assertEqual((job["state"], job["outcome"]), ("done", "succeeded"))

    def test_run_a_file(self):
        path = os.path.join(self.d.home, "job.json")
        with open(path, "w", encoding="utf-8") as f:
            f.write('{\n  "kind": "timer",\n  "sleep": 0, "value": [1]\n}\n')
        r = self.ctl("run", "-f", path)
        self.assertEqual((r.status, r.out), (0, "[1]\n"), r)
        r = self.ctl("run", "-f", "-", stdin='{"kind":"worker","argv":["sh","-c","pwd; exit 3"]}')
        self.assertEqual((r.status, r.lines), (3, [self.d.home]),
                         "as the daemon has it, not from our directory")
        for text, status, word in (('{"kind":"timer"}', 4, "/sleep"), ("[]", 4, "one job document"),
                                   ("{", 4, "line 1"), ('{"kind":"ballet"}', 4, "kind"),
                                   ("", 4, "standard input")):
            with self.subTest(text):
                r = self.ctl("run", "-f", "-", stdin=text)
                self.assertEqual(r.status, status, r)
                self.assertIn(word, r.err)
        self.assertEqual(self.ctl("run", "-f", path, "timer", "0").status, 2)
        self.assertEqual(self.ctl("run", "-f", path + ".none").status, 2)

    def test_run_a_composition(self):
        def part(value, **more):
            return {"kind": "timer", "sleep": 0, "value": value, **more}

        def bad():
            return {"kind": "worker", "argv": ["false"]}

        for doc, status, out in (
                ({"kind": "gather", "jobs": [part(1), part("b")]}, 0, '[1,"b"]\n'),
                ({"kind": "gather", "on_failure": "continue", "jobs": [part(1), bad()]}, 1,
                 "[1,null]\n"),
                ({"kind": "gather", "jobs": [part(1, sleep=60), bad()]}, 1, ""),
                ({"kind": "sequence", "jobs": [part({"x": [7]}, name="a"), part("${a:/x/0}")]}, 0,
                 "7\n"),
                ({"kind": "sequence", "jobs": [part(1), part(None)]}, 0, "")):
            with self.subTest(doc):
                r = self.ctl("run", "-f", "-", stdin=json.dumps(doc))
                self.assertEqual((r.status, r.out), (status, out), r)
        job = json.loads(self.ctl("--json", "run", "-f", "-", stdin=json.dumps(
            {"kind": "race", "jobs": [part(1, sleep=60), part(2)]})).out)
        self.assertEqual(job["result"], {"winner": 1, "result": 2})

    def test_options_of_needs_and_retry(self):
        first = self.ctl("submit", "timer", "--value", '{"s": 0, "v": [1]}', "0").lines[0]
        failed = self.ctl("submit", "worker", "false").lines[0]
        r = self.ctl("run", "timer", "--needs", first, "--needs", f"{failed}:failure", "--sleep",
                     "${%s:/s}" % first, "--value", '"${%s:/v}"' % first)
        self.assertEqual((r.status, r.out), (0, "[1]\n"), r)
        job = self.json("run", "worker", "--retry-max", "2", "--retry-delay", "1ms",
                        "--retry-on", "exit:3,timeout", "--", "sh", "-c",
                        "exit $((4 - $AWAITD_ATTEMPT))", status=2)
        self.assertEqual((job["attempt"], job["error"]["exit"]), (2, 2),
                         "exit:3 is tried again, exit:2 is not")
        job = self.json("run", "timer", "--deadline", "20ms", "--keep", "1h", "60", status=1)
        self.assertEqual((job["outcome"], job["error"]["code"]), ("timed_out", "deadline"))
        self.assertEqual(job["spec"]["keep"], 3600)

    def test_compositions_come_from_files(self):
        for verb in ("submit", "run"):
            for kind in ("gather", "sequence", "race"):
                r = self.ctl(verb, kind, "x")
                self.assertEqual(r.status, 2, r)
                self.assertIn("-f FILE", r.err)

    def test_run_fetch(self):
        web = self.web()
        r = self.ctl("run", "fetch", "--output", "f.bin", web.url("/bytes/5000"))
        path = os.path.join(self.d.home, "f.bin")
        self.assertEqual((r.status, r.out), (0, path + "\n"), r)
        self.assertEqual(os.path.getsize(path), 5000)
        r = self.ctl("run", "fetch", "--output", "-", web.url("/bytes/5000"), text=False)
        with open(path, "rb") as f:
            self.assertEqual(r.out, f.read())
        r = self.ctl("run", "fetch", "--method", "POST", "--header", "X-Test=1", "--body", "hey",
                     "--output", "-", web.url("/echo"))
        if r.status == 2:  # the other spelling of a header
            r = self.ctl("run", "fetch", "--method", "POST", "--headers", "X-Test=1", "--body",
                         "hey", "--output", "-", web.url("/echo"))
        self.assertEqual(r.status, 0, r)
        echo = json.loads(r.out)
        self.assertEqual((echo["method"], echo["body"], echo["headers"]["X-Test"]),
                         ("POST", "hey", "1"))
        self.assertRegex(echo["headers"]["User-Agent"], r"^awaitd/\d")

    def test_remove(self):
        number = self.timer("0")
        self.c.wait_one(number)
        self.assertEqual(self.ctl("remove", str(number)).status, 0)
        self.assertEqual(self.ctl("show", str(number)).status, 4)
        waiting = self.timer("600")
        self.assertEqual(self.ctl("remove", str(waiting)).status, 4, "only what is done")

    def test_call(self):
        r = self.ctl("call", "daemon.info")
        self.assertEqual(r.status, 0, r)
        self.assertEqual(json.loads(r.out)["pid"], self.d.pid)
        r = self.ctl("call", "job.submit", '{"kind": "timer", "sleep": 0}')
        self.assertEqual(json.loads(r.out)["kind"], "timer")

    def test_later_verbs_say_so(self):
        self.assertEqual(self.ctl("schedule", "list").status, 4)

    def test_reload_and_shutdown(self):
        self.assertEqual(self.ctl("reload").status, 0)
        self.assertEqual(self.ctl("shutdown").status, 0)
        self.assertEqual(self.d.wait_exit(), 0)
        self.assertEqual(self.ctl("info").status, 3)

    def test_wait_over_a_restart(self):
        """wait reconnects when the daemon comes back within 30 s."""
        number = self.timer("3")
        self.c.wait_state(number, "running")

        def connections():
            return self.c.call("daemon.stats")["connections"]["open"]
        before = connections()
        p = self.d.ctl_spawn("wait", str(number))
        wait_until(lambda: connections() > before, 20, "awaitctl wait is connected")
        self.d.stop()
        self.d.start()
        out, err = p.communicate(timeout=scaled(30))
        self.assertEqual(p.returncode, 0, (out, err))

    def test_a_daemon_that_stays_away(self):
        number = self.timer("600")
        waits = self.d.ctl_spawn("wait", "--timeout", "1s", str(number))
        runs = self.d.ctl_spawn("run", "timer", "600")
        wait_until(lambda: len(self.c.list_all(state="running")) == 2, 20, "both run")
        wait_until(lambda: self.c.call("daemon.stats")["connections"]["calls"] == 3, 20,
                   "both wait")  # and this call itself
        self.d.stop()
        began = time.monotonic()
        _, err = waits.communicate(timeout=scaled(20))
        self.assertEqual(waits.returncode, 124, err)
        self.assertLess(time.monotonic() - began, scaled(10), "its own time counts, not the 30 s")
        runs.send_signal(signal.SIGINT)
        _, err = runs.communicate(timeout=scaled(20))
        self.assertEqual(runs.returncode, 3, err)
        self.assertIn(f"job {number + 1}", err)
        self.d.start()
        c = self.client(self.d)
        c.call("job.cancel", {"ids": [number, number + 1]})

    def test_what_is_no_daemon_is_not_tried_again(self):
        path = os.path.join(self.d.dir, "other.sock")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            peers = []

            def greet():
                with contextlib.suppress(OSError):
                    while True:
                        peers.append(listener.accept()[0])
                        peers[-1].sendall(b"220 other.example ready\n")

            threading.Thread(target=greet, daemon=True).start()
            for words, stdin in ((("wait", "1"), None), (("output", "-f", "1"), None),
                                 (("show", "1"), None), (("watch", "1"), None),
                                 (("submit", "-f", "-"), '{"kind":"timer","sleep":0}\n')):
                r = self.ctl("--socket", path, *words, stdin=stdin, socket_option=False)
                self.assertEqual(r.status, 3, r)
                self.assertEqual(r.err, f"awaitctl: what listens at {path} does not speak "
                                        "awaitd's protocol\n")

    def test_closed_standard_descriptors(self):
        """The socket must not become standard input, or a message go into it."""
        for redirection, words, status in (
                ("<&-", "submit -f -", 2), ("<&-", "list", 0), (">&-", "list", 1),
                ("2>&-", "list --bogus", 2), ("<&- >&- 2>&-", "submit timer 0", 1)):
            p = subprocess.run(
                ["/bin/sh", "-c", f'exec "$0" --socket "$1" {words} {redirection}',
                 AWAITCTL, self.d.socket], env=self.d.env, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=scaled(20), check=False)
            self.assertEqual(p.returncode, status, (redirection, words, p))
            if status and "2>&-" not in redirection:
                self.assertIn(b"Bad file descriptor", p.stderr)
        self.assertEqual(len(self.c.list_all()), 1)

    def test_output_pipe_is_closed(self):
        """A reader that goes away is no reason to print a hundred errors."""
        for _ in range(50):
            self.c.submit("timer", sleep=600, value="x" * 2000)
        p = subprocess.run(["sh", "-c", '"$0" --socket "$1" --json list | head -c 10', AWAITCTL,
                            self.d.socket], capture_output=True, text=True, timeout=scaled(20))
        self.assertLessEqual(len(p.stderr.splitlines()), 1, p.stderr)

    def test_messages_name_the_program(self):
        r = self.ctl("show", "999999")
        self.assertTrue(re.match(r"awaitctl: ", r.err), r.err)


if __name__ == "__main__":
    main()
