#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the shells offer behind awaitctl: all that its help lists, and what the daemon has."""
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import AWAITCTL, TOP, TestCase, die_with_us, main, scaled

SCRIPTS = os.path.join(TOP, "packaging", "completions")
KINDS = ("worker", "fetch", "timer")


def options_in(text):
    return {f"--{dashes}{name}" for no, name in re.findall(
        r"^ +(?:-\w, )?--(\[no-\])?([a-z-]+)", text, re.M) for dashes in {"", no.strip("[]")}}


class Completion(TestCase):
    """What awaitctl itself says, of which the shells' scripts pass on every line."""

    def setUp(self):
        self.d = self.daemon()

    def offered(self, *words, **keys):
        result = self.d.ctl("__complete", "--", *words, **keys)
        self.assertEqual((result.status, result.err), (0, ""))
        return [line.split("\t")[0] for line in result.lines]

    def verbs(self):
        text = self.d.ctl("--help").out
        return re.findall(r"^  ([a-z]+) ", re.search(r"^Commands:\n(.*?)\n\n", text, re.M | re.S)
                          .group(1), re.M)

    def test_commands(self):
        verbs = self.verbs()
        self.assertGreater(len(verbs), 10)
        self.assertEqual(self.offered(""), verbs)
        self.assertEqual(self.offered("--json", "can"), ["cancel"])
        self.assertEqual(self.offered("--socket", ""), [":file"])
        self.assertEqual(self.offered("nonsense", ""), [])

    def test_every_option_of_every_command(self):
        for verb in self.verbs():
            help_text = self.d.ctl(verb, "--help").out
            self.assertEqual(set(self.offered(verb, "-")), options_in(help_text), verb)
        for kind in KINDS:
            help_text = self.d.ctl("submit", kind, "--help").out
            self.assertEqual(set(self.offered("run", kind, "--")), options_in(help_text), kind)

    def test_every_command_with_ids_offers_ids(self):
        c = self.client(self.d)
        done = c.submit("timer", sleep=0)["id"]
        c.wait(done)
        waiting = c.submit("timer", sleep=1, delay=3600, name="nightly")["id"]
        for verb in self.verbs():
            usage = self.d.ctl(verb, "--help").lines[0]
            if not re.search(r"\bID\b", usage):
                continue
            wanted = {"remove": [done], "retry": [done], "show": [waiting, done],
                      "output": [waiting, done], "timeline": [waiting, done],
                      "watch": [waiting, done]}
            self.assertEqual(self.offered(verb, ""),
                             [str(n) for n in wanted.get(verb, [waiting])], verb)
        self.assertEqual(self.offered("show", str(waiting), ""), [str(done)], "not twice")
        self.assertIn(f"{waiting}\ttimer nightly, waiting",
                      self.d.ctl("__complete", "--", "cancel", "").lines)

    def test_values(self):
        states = ["waiting", "running", "stopping", "done"]
        self.assertEqual(self.offered("list", "--state", ""), states)
        self.assertEqual(self.offered("list", "--state=waiting,d"), ["--state=waiting,done"])
        self.assertEqual(self.offered("list", "--queue", ""), ["fetch", "worker"])
        self.assertEqual(self.offered("queue", "pause", "w"), ["worker"])
        self.assertEqual(self.offered("submit", ""), list(KINDS))
        self.assertEqual(self.offered("submit", "-f", ""), [":file"])
        self.assertEqual(self.offered("submit", "worker", "--on-lost=r"), ["--on-lost=retry"])
        self.assertEqual(self.offered("submit", "worker", "--cwd", ""), [":dir"])
        self.assertEqual(self.offered("submit", "worker", "--name", ""), [])
        self.assertEqual(self.offered("submit", "worker", "--", ""), [":command"])
        self.assertEqual(self.offered("submit", "worker", "make", "-"), [":file"])
        self.assertIn("job.submit_many", self.offered("call", ""))

    def test_nothing_from_a_job_steers_a_terminal(self):
        c = self.client(self.d)
        c.submit("timer", sleep=1, delay=3600, name="a\u202eb")
        out = self.d.ctl("__complete", "--", "cancel", "").out
        self.assertIn("timer a", out)
        self.assertNotIn("\u202e", out)

    def test_without_a_daemon(self):
        result = self.d.ctl("--socket", "/nonexistent", "__complete", "--", "cancel", "",
                            socket_option=False)
        self.assertEqual((result.status, result.out, result.err), (0, "", ""))


class Shells(TestCase):
    """Each shell, with the script as it is installed."""

    def setUp(self):
        self.d = self.daemon()
        self.c = self.client(self.d)
        self.job = self.c.submit("timer", sleep=1, delay=3600, name="nightly: one")["id"]
        self.bin = os.path.join(self.d.home, "bin")
        os.mkdir(self.bin)
        os.symlink(AWAITCTL, os.path.join(self.bin, "awaitctl"))
        self.env = {**self.d.env, "PATH": self.bin + ":/usr/bin:/bin", "TERM": "dumb",
                    "AWAITD_SOCKET": self.d.socket}
        with open(os.path.join(self.d.home, "jobs.json"), "w", encoding="ascii"):
            pass

    # what is typed -> what must be offered (a part of it, for lists)
    def cases(self):
        return (("awaitctl can", ["cancel"]), ("awaitctl cancel ", [str(self.job)]),
                ("awaitctl list --stat", ["--state"]),
                ("awaitctl list --state=d", ["--state=done"]),
                ("awaitctl submit -f job", ["jobs.json"]),
                ("awaitctl submit worker tru", ["true"]),
                ("awaitctl submit worker --on-lost f", ["fail"]))

    def check(self, typed, wanted, got):
        for word in wanted:
            self.assertIn(word, got, f"behind {typed!r}")

    @unittest.skipUnless(shutil.which("bash"), "no bash here")
    def test_bash(self):
        script = r"""
            . "$1"; shift
            COMP_LINE=$1 COMP_POINT=${#1}
            read -r -a COMP_WORDS <<<"${1//=/ = }"
            [[ $1 == *' ' ]] && COMP_WORDS+=('')
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
            _awaitctl; printf '%s\n' "${COMPREPLY[@]}" """
        for typed, wanted in self.cases():
            p = subprocess.run(["bash", "-c", script, "bash", SCRIPTS + "/awaitctl.bash", typed],
                               env=self.env, cwd=self.d.home, text=True, capture_output=True,
                               stdin=subprocess.DEVNULL, timeout=scaled(20), check=False)
            self.assertEqual(p.stderr, "")
            # bash replaces what stands behind its "=".
            wanted = [w.partition("=")[2] or w for w in wanted]
            self.check(typed, wanted, p.stdout.split("\n"))

    @unittest.skipUnless(shutil.which("fish"), "no fish here")
    def test_fish(self):
        for typed, wanted in self.cases():
            p = subprocess.run(["fish", "--no-config", "-c",
                                f"source {SCRIPTS}/awaitctl.fish; complete -C '{typed}'"],
                               env=self.env, cwd=self.d.home, text=True, capture_output=True,
                               stdin=subprocess.DEVNULL, timeout=scaled(20), check=False)
            self.assertEqual(p.stderr, "")
            self.check(typed, wanted, [line.split("\t")[0] for line in p.stdout.split("\n")])

    @unittest.skipUnless(shutil.which("zsh"), "no zsh here")
    def test_zsh(self):
        """Its completion works in an interactive shell alone: one on a terminal of its own."""
        functions = os.path.join(self.d.home, "functions")
        os.mkdir(functions)
        os.symlink(SCRIPTS + "/awaitctl.zsh", functions + "/_awaitctl")
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        p = subprocess.Popen(["zsh", "-f", "-i"], stdin=slave, stdout=slave, stderr=slave,
                             env={**self.env, "COLUMNS": "200", "LINES": "100"},
                             cwd=self.d.home, start_new_session=True, preexec_fn=die_with_us)
        self.addCleanup(p.wait)
        self.addCleanup(p.kill)
        os.close(slave)
        os.write(master, f"fpath=({self.d.home}/functions $fpath); autoload -Uz compinit; "
                 "compinit -u -D; unsetopt zle_bracketed_paste; PS1='READY '\n".encode())
        self.read_until(master, lambda text: text.count("READY ") >= 2)
        for typed, wanted in self.cases():
            os.write(master, typed.encode() + b"\t")
            words = {w.rpartition("=")[2] for w in wanted}
            self.read_until(master, lambda text, words=words: words <= self.words(text), typed)
            os.write(master, b"\x15\n")  # all of it away, and a fresh prompt
            self.read_until(master, lambda text: "READY " in text)

    @staticmethod
    def words(text):
        """Those on the line after a tab, or below it."""
        return set(re.split(r"[\s=]+", text))

    def read_until(self, fd, is_enough, typed=""):
        end, text = time.monotonic() + scaled(20), ""
        while not is_enough(text):
            ready, _, _ = select.select([fd], [], [], max(end - time.monotonic(), 0))
            if not ready:
                self.fail(f"zsh did not answer {typed!r}, only: {text!r}")
            text += os.read(fd, 65536).decode("utf-8", "replace")


if __name__ == "__main__":
    main()
