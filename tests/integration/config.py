#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The configuration file: what is wrong is said with file and line, --check-config, reload."""
import os
import re
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import (AWAITD, TOP, RpcError, TestCase, die_with_us, main, parse_time, scaled,
                         wait_until)

DEFAULTS = os.path.join(TOP, "packaging", "awaitd.conf")

# (name, text of the file, line of the fault, word in the message)
FAULTS = [
    ("unknown section", "[daemon]\n\n[kitchen]\nx = 1\n", (3, 4), "kitchen"),
    ("unknown setting", "[daemon]\ncolour = red\n", (2,), "colour"),
    ("setting of another section", "[fetch]\nstop_timeout = 1s\n", (2,), "stop_timeout"),
    ("bad duration", "[daemon]\nstop_timeout = soon\n", (2,), "stop_timeout"),
    ("negative duration", "[daemon]\nstop_timeout = -5s\n", (2,), "stop_timeout"),
    ("bad bool", "[daemon]\nallow_unsafe_fs = perhaps\n", (2,), "allow_unsafe_fs"),
    ("bad level", "[daemon]\nlog_level = loud\n", (2,), "log_level"),
    ("bad number", "[connections]\nmax_connections = many\n", (2,), "max_connections"),
    ("number out of range", "[connections]\nmax_connections = 99999999999999999999\n", (2,),
     "max_connections"),
    ("number with a tail", "[connections]\nmax_connections = 12x\n", (2,), "max_connections"),
    ("bad size", "[worker]\noutput_limit = huge\n", (2,), "output_limit"),
    ("relative root", "[fetch]\noutput_roots = here\n", (2,), "output_roots"),
    ("no section", "log_level = info\n", (1,), ""),
    ("not ini", "\n\n[daemon]\nthis is no setting\n", (4,), ""),
    ("empty value", "[daemon]\nstop_timeout =\n", (2,), "stop_timeout"),
]


class Config(TestCase):
    def check(self, text, *more):
        d = self.daemon(start=False, config=text)
        p = subprocess.run([*d.command("--check-config"), *more], env=d.env, capture_output=True,
                           text=True, timeout=scaled(20), preexec_fn=die_with_us)
        return d, p

    def test_faults(self):
        for name, text, lines, word in FAULTS:
            with self.subTest(name):
                d, p = self.check(text)
                self.assertEqual(p.returncode, 78, p)
                self.assertIn(word, p.stderr)
                m = re.search(re.escape(d.config) + r":(\d+)", p.stderr)
                self.assertTrue(m, f"file and line: {p.stderr!r}")
                self.assertIn(int(m.group(1)), lines, p.stderr)
                self.assertFalse(os.path.exists(d.state), "checking makes nothing")

    def test_the_daemon_does_not_start_with_a_fault(self):
        d = self.daemon(start=False, config="[daemon]\ncolour = red\n")
        d.spawn()
        self.assertEqual(d.wait_exit(), 78)
        self.assertIn("colour", d.log())

    def test_good_ones(self):
        for text in ("", "# nothing\n; at all\n", "[daemon]\nlog_level = debug\n",
                     "[daemon]\nstop_timeout = 1min 30s\n", "[worker]\noutput_limit = 20M\n"):
            with self.subTest(text):
                _, p = self.check(text)
                self.assertEqual(p.returncode, 0, p)

    def test_the_shipped_file(self):
        """As it is, and with every comment sign before a setting taken away."""
        with open(DEFAULTS, encoding="utf-8") as f:
            text = f.read()
        _, p = self.check(text)
        self.assertEqual(p.returncode, 0, p)
        active = re.sub(r"(?m)^#(?=[a-z_]+ ?=)", "", text)
        self.assertNotEqual(active, text)
        _, p = self.check(active)
        self.assertEqual(p.returncode, 0, p)

    def test_the_shipped_file_says_the_defaults(self):
        d = self.daemon()
        with open(DEFAULTS, encoding="utf-8") as f:
            text = re.sub(r"(?m)^#(?=[a-z_]+ ?=)", "", f.read())
        other = self.daemon(config=text)
        mine, theirs = (self.client(x).call("daemon.info")["settings"] for x in (d, other))
        for settings in (mine, theirs):
            settings.pop("fetch.output_roots", None)  # below the home, which is each daemon's own
        self.assertEqual(mine, theirs)

    def test_missing_file(self):
        d = self.daemon(start=False)
        d.config = os.path.join(d.dir, "not-there.conf")
        d.spawn()
        self.assertEqual(d.wait_exit(), 78)
        self.assertIn("not-there.conf", d.log())

    def test_settings_are_in_force(self):
        d = self.daemon(config="[queues]\nfetch_limit = 7\nworker_limit = 3\n")
        limits = {q["name"]: q["limit"] for q in self.client(d).call("queue.list")["queues"]}
        self.assertEqual(limits, {"fetch": 7, "worker": 3})

    def test_reload(self):
        d = self.daemon(config="[worker]\noutput_limit = 1M\n")
        c = self.client(d)
        before = c.call("daemon.info")["settings"]
        d.write_config("[worker]\noutput_limit = 2M\n")
        c.call("daemon.reload", {})
        self.assertNotEqual(c.call("daemon.info")["settings"], before)
        now = c.call("daemon.info")["settings"]
        d.write_config("[worker]\noutput_limit = nonsense\n")
        with self.assertRaises(RpcError):
            c.call("daemon.reload", {})
        self.assertEqual(c.call("daemon.info")["settings"], now, "a bad file changes nothing")
        d.write_config("")

    def ready(self, d, c, script, **keys):
        """A worker that has come to its ": > {ready}"."""
        path = os.path.join(d.home, f"ready{time.monotonic_ns()}")
        number = c.call("job.submit", d.shell(script.format(ready=path), **keys))["id"]
        wait_until(lambda: os.path.exists(path), 10, "the worker runs")
        return number

    def stopping_time(self, c, number):
        """A worker that does not go by itself: how long after its cancel it was gone."""
        began = time.monotonic()
        c.call("job.cancel", {"ids": [number]})
        self.assert_done(c.wait_one(number), "cancelled")
        return time.monotonic() - began

    def test_defaults_of_jobs(self):
        """What a document does not say is the setting's, also what a reload has made of it, and
        is not written into the document."""
        text = ("[jobs]\ngrace = {}\nmax_grace = {}\nretry_delay = {}\nretry_jitter = 0\n"
                "[fetch]\nredirects = {}\nmax_size = {}\nallow_networks = any\n")
        d = self.daemon(config=text.format("200ms", "1h", "2min", 2, 100))
        c, web = self.client(d), self.web()
        stubborn = "trap '' TERM; : > {ready}; while :; do sleep 0.05; done"
        self.assertLess(self.stopping_time(c, self.ready(d, c, stubborn)), scaled(4))
        early = self.ready(d, c, stubborn)  # its grace is what is in force when it is stopped
        long = self.ready(d, c, stubborn, grace="1h")

        flaky = c.call("job.submit", d.shell("exit 1", retry={"max": 1}))["id"]
        wait_until(lambda: c.get(flaky)["reason"] == "backoff", 10, "it waits for its retry")
        job = c.get(flaky)
        wait = parse_time(job["due_at"]) - parse_time(job["submitted_at"])
        self.assertTrue(120 <= wait < 120 + scaled(30), job)
        self.assertEqual(job["spec"]["retry"], {"max": 1})
        self.assertNotIn("grace", job["spec"])

        job = c.wait_one(c.submit("fetch", url=web.url("/redirect/3/bytes/9"))["id"])
        self.assertEqual(self.assert_done(job, "failed")["error"]["code"], "http", job)
        self.assertNotIn("redirects", job["spec"])
        for keys, outcome in (({"redirects": 3}, "succeeded"), ({"max_size": 8}, "failed")):
            job = c.wait_one(c.submit("fetch", url=web.url("/redirect/2/bytes/9"), **keys)["id"])
            self.assert_done(job, outcome)
        job = c.wait_one(c.submit("fetch", url=web.url("/bytes/101"))["id"])
        self.assertEqual(self.assert_done(job, "failed")["error"]["code"], "too_large")

        d.write_config(text.format("100ms", "200ms", "0", 3, 101))
        self.assertEqual(c.call("daemon.reload", {})["needs_restart"], [])
        for path in ("/redirect/3/bytes/9", "/bytes/101"):
            self.assert_done(c.wait_one(c.submit("fetch", url=web.url(path))["id"]))
        job = c.wait_one(c.call("job.submit", d.shell("exit 1", retry={"max": 3}))["id"])
        self.assertEqual(self.assert_done(job, "failed")["attempt"], 4)
        self.assertLess(self.stopping_time(c, early), scaled(4))
        self.assertLess(self.stopping_time(c, long), scaled(4), "max_grace cuts it")
        settings = c.call("daemon.info")["settings"]
        self.assertEqual((settings["jobs.grace"], settings["jobs.max_grace"],
                          settings["jobs.retry_delay"], settings["fetch.redirects"]),
                         (0.1, 0.2, 0, 3))
        c.call("job.cancel", {"ids": [flaky]})

    def test_timeouts_of_fetches(self):
        """Both are the setting's, and what a document says goes before it."""
        text = "[fetch]\nconnect_timeout = {}\nidle_timeout = {}\nallow_networks = any\n"
        d = self.daemon(config=text.format("10min", "10min"))
        c, web = self.client(d), self.web()
        silent = socket.create_server(("127.0.0.1", 0))  # connects, and never says a word of TLS
        self.addCleanup(silent.close)
        urls = {"connect_timeout": f"https://127.0.0.1:{silent.getsockname()[1]}/",
                "idle_timeout": web.url("/hang")}

        def timed_out(name, text, **keys):
            job = c.wait_one(c.submit("fetch", url=urls[name], **keys)["id"])
            error = self.assert_done(job, "failed")["error"]
            self.assertEqual(error["code"], "timeout", job)
            self.assertIn(f"{text} ({name})", error["message"])
            return job

        for name in urls:
            timed_out(name, "0.2 s", **{name: "200ms"})
        d.write_config(text.format("1s", "2s"))
        self.assertEqual(c.call("daemon.reload", {})["needs_restart"], [])
        for name, limit in (("connect_timeout", "1 s"), ("idle_timeout", "2 s")):
            self.assertNotIn(name, timed_out(name, limit)["spec"])

    def test_the_same_key_after_a_change(self):
        """A default is no part of the document that a key stands for."""
        d = self.daemon()
        c = self.client(d)
        first = c.submit("timer", sleep=0, key="k", retry={"max": 1})
        d.write_config("[jobs]\ngrace = 1s\nretry_delay = 2s\n")
        c.call("daemon.reload", {})
        again = c.submit("timer", sleep=0, key="k", retry={"max": 1})
        self.assertEqual((again["id"], again["existing"]), (first["id"], True))

    def test_defaults_of_workers(self):
        d = self.daemon(config="[worker]\numask = 0137\npath = /nowhere:/usr/bin:/bin\n"
                               "open_files = 77\noutput_wait = 50ms\n[queues]\nhook_limit = 2\n")
        c = self.client(d)
        job = c.wait_one(c.call("job.submit", d.shell("umask; ulimit -n; echo $PATH"))["id"])
        self.assertEqual(c.output(job["id"]).decode().split(),
                         ["0137", "77", "/nowhere:/usr/bin:/bin"])
        # A grandchild that keeps the output open is not waited for.
        script = "trap '' TERM; (sleep 600) & exit 0"
        began = time.monotonic()
        self.assert_done(c.wait_one(c.call("job.submit", d.shell(script))["id"]))
        self.assertLess(time.monotonic() - began, scaled(10))
        d.write_config("[worker]\numask = 0027\n[jobs]\nkey_keep = 2d\n")
        self.assertEqual(c.call("daemon.reload", {})["needs_restart"],
                         ["queues.hook_limit", "jobs.key_keep"])
        job = c.wait_one(c.call("job.submit", d.shell("umask; nice", umask="7", nice=11))["id"])
        self.assertEqual(c.output(job["id"]).decode().split(), ["0007", "11"])
        self.assertEqual(job["spec"]["umask"], "0007")
        job = c.wait_one(c.call("job.submit", d.shell("umask; ulimit -n"))["id"])
        self.assertEqual(c.output(job["id"]).decode().split(), ["0027", "1024"])
        settings = c.call("daemon.info")["settings"]
        self.assertEqual((settings["worker.umask"], settings["worker.open_files"],
                          settings["jobs.key_keep"]), ("0027", 1024, 86400))

    def test_usage_errors(self):
        for words in (("--explode",), ("extra",), ("--socket",)):
            with self.subTest(words=words):
                p = subprocess.run([AWAITD, *words], capture_output=True, text=True,
                                   stdin=subprocess.DEVNULL, timeout=scaled(20))
                self.assertEqual(p.returncode, 2, p)
                self.assertTrue(p.stderr)

    def test_version_and_help(self):
        p = subprocess.run([AWAITD, "--version"], capture_output=True, text=True)
        self.assertEqual(p.returncode, 0)
        self.assertRegex(p.stdout, r"awaitd.* \d+\.\d+")
        p = subprocess.run([AWAITD, "--help"], capture_output=True, text=True)
        self.assertEqual(p.returncode, 0)
        for flag in ("--user", "--system", "--config", "--socket", "--state-dir", "--log-level",
                     "--check-config"):
            self.assertIn(flag, p.stdout)


class Store(TestCase):
    """A state directory that is not what it should be: refused, and left as it was."""

    def refused(self, content, status):
        d = self.daemon(start=False)
        os.mkdir(d.state, 0o700)
        path = os.path.join(d.state, "awaitd.db")
        with open(path, "wb") as f:
            f.write(content)
        d.spawn()
        self.assertEqual(d.wait_exit(), status, d.log())
        self.assertIn("awaitd.db", d.log())
        with open(path, "rb") as f:
            self.assertEqual(f.read(), content, "untouched byte for byte")

    def test_empty_file(self):
        self.refused(b"", 65)

    def test_foreign_file(self):
        self.refused(b"this is somebody's diary\n" * 100, 65)

    def test_foreign_database(self):
        import sqlite3
        path = os.path.join(self.id() + ".db")
        d = self.daemon(start=False)
        path = os.path.join(d.dir, "foreign.db")
        db = sqlite3.connect(path)
        db.execute("create table diary (day text)")
        db.commit()
        db.close()
        with open(path, "rb") as f:
            self.refused(f.read(), 65)

    def test_newer_store(self):
        import sqlite3
        d = self.daemon()
        self.assertEqual(d.stop(), 0)
        path = os.path.join(d.state, "awaitd.db")
        db = sqlite3.connect(path)
        db.execute("pragma user_version = 9999")
        db.commit()
        db.close()
        with open(path, "rb") as f:
            before = f.read()
        d.spawn()
        self.assertEqual(d.wait_exit(), 78, d.log())
        with open(path, "rb") as f:
            self.assertEqual(f.read(), before)

    def test_truncated_store(self):
        d = self.daemon()
        c = self.client(d)
        for n in range(200):
            c.submit("timer", sleep=600, value="x" * 500)
        self.assertEqual(d.stop(), 0)
        path = os.path.join(d.state, "awaitd.db")
        size = os.path.getsize(path)
        os.truncate(path, size // 2 // 4096 * 4096)
        d.spawn()
        self.assertEqual(d.wait_exit(), 65, d.log())


if __name__ == "__main__":
    main()
