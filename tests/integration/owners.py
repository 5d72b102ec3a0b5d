#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Who may do what: owners come from the socket, other people's jobs are not there."""
import os
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import AWAITCTL, TestCase, die_with_us, main, scaled

SECOND = (65534, 65534)  # nobody; any uid will do, it needs no account


class Owners(TestCase):
    def test_owner_is_read_from_the_socket(self):
        d = self.daemon()
        job = self.client(d).submit("timer", sleep=0)
        self.assertEqual((job["owner"]["uid"], job["owner"]["gid"]), (os.getuid(), os.getgid()))

    def test_owner_in_the_document_is_refused(self):
        d = self.daemon()
        e = self.client(d).call_error("job.submit", {"kind": "timer", "sleep": 0,
                                                     "owner": {"uid": 0}})
        self.assertEqual((e.code, e.data["path"]), (-32602, "/owner"))

    def test_secrets_are_shown_to_the_owner_in_get_only(self):
        d = self.daemon()
        c = self.client(d)
        document = {"kind": "fetch", "url": "http://user:word@127.0.0.1:9/", "delay": 600,
                    "headers": {"X-Token": "hush"}, "method": "POST", "body": "letter"}
        job = c.call("job.submit", document)
        whole = c.get(job["id"])["spec"]
        self.assertEqual((whole["headers"]["X-Token"], whole["body"]), ("hush", "letter"))
        listed = c.list_all()[0]["spec"]
        self.assertEqual((listed["headers"]["X-Token"], listed["body"]), ("***", "***"))
        self.assertNotIn("word", listed["url"])
        worker = c.call("job.submit", d.shell("true", env={"PASSWORD": "hush"}, delay=600))
        self.assertEqual(c.get(worker["id"])["spec"]["env"]["PASSWORD"], "hush")
        listed = [j for j in c.list_all() if j["id"] == worker["id"]][0]
        self.assertEqual(listed["spec"]["env"]["PASSWORD"], "***")
        c.call("job.cancel", {"ids": [job["id"], worker["id"]]})
        c.wait(job["id"], worker["id"])
        for secret in ("hush", "word@", "letter"):
            self.assertNotIn(secret, d.log())


@unittest.skipUnless(os.getuid() == 0, "needs root, to be a second user")
class TwoUsers(TestCase):
    def open_to_all(self, d):
        """The folder and the socket let anybody in: what refuses is the daemon itself."""
        os.chmod(d.dir, 0o755)
        os.chmod(d.socket, 0o666)

    def as_second(self, d, *words):
        def become():
            os.setgroups([])
            os.setgid(SECOND[1])
            os.setuid(SECOND[0])
            die_with_us()
        return subprocess.run([AWAITCTL, "--socket", d.socket, *words], preexec_fn=become,
                              env={"PATH": d.env["PATH"], "HOME": "/"}, cwd="/",
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=scaled(20))

    def can_run(self):
        try:
            probe = subprocess.run([AWAITCTL, "--help"], user=SECOND[0], group=SECOND[1],
                                   extra_groups=[], capture_output=True, cwd="/")
        except OSError:
            return False
        return probe.returncode == 0

    def setUp(self):
        if not self.can_run():
            self.skipTest("another user may not execute the programs in this folder")

    def test_socket_is_closed_to_others(self):
        d = self.daemon()
        os.chmod(d.dir, 0o755)
        self.assertEqual(self.as_second(d, "info").returncode, 3)

    def test_user_instance_refuses_others(self):
        d = self.daemon()
        c = self.client(d)
        mine = c.submit("timer", sleep=0, delay=600)["id"]
        self.open_to_all(d)
        p = self.as_second(d, "show", str(mine))
        self.assertIn(p.returncode, (3, 4), p)
        self.assertEqual(p.stdout, "")
        p = self.as_second(d, "cancel", str(mine))
        self.assertIn(p.returncode, (3, 4), p)
        p = self.as_second(d, "shutdown")
        self.assertIn(p.returncode, (3, 4), p)
        self.assertEqual(c.get(mine)["state"], "waiting")
        c.call("job.cancel", {"ids": [mine]})

    def test_system_instance_keeps_owners_apart(self):
        """A daemon of another user, in system mode: each sees what is his own, root all."""
        d = self.daemon(start=False, user=SECOND)
        d.args = []
        command = [w if w != "--user" else "--system" for w in d.command()]
        d.command = lambda *more: command + list(more)
        d.start()
        self.open_to_all(d)
        p = self.as_second(d, "submit", "timer", "--delay", "600", "0")
        self.assertEqual(p.returncode, 0, p)
        theirs = int(p.stdout)
        c = self.client(d)  # root
        ours = c.submit("timer", sleep=0, delay=600)["id"]
        self.assertEqual(c.get(theirs)["owner"]["uid"], SECOND[0])
        self.assertEqual(len(c.list_all()), 2, "root sees all")
        p = self.as_second(d, "show", str(ours))
        absent = self.as_second(d, "show", "999999")
        self.assertEqual((p.returncode, absent.returncode), (4, 4), (p, absent))
        self.assertEqual(p.stderr.replace(str(ours), "N"), absent.stderr.replace("999999", "N"),
                         "somebody else's job looks like none")
        self.assertEqual(self.as_second(d, "cancel", str(ours)).returncode, 4)
        listed = self.as_second(d, "--json", "list")
        self.assertEqual(listed.returncode, 0, listed)
        self.assertNotIn(f'"id":{ours},', listed.stdout.replace(" ", ""))
        c.call("job.cancel", {"ids": [ours, theirs]})


class ForeignSocket(TestCase):
    def test_a_peer_that_says_nothing(self):
        """A connection without a word costs nobody anything."""
        d = self.daemon()
        silent = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(20)]
        for s in silent:
            s.connect(d.socket)
            self.addCleanup(s.close)
        self.assertEqual(self.client(d).call("daemon.info")["pid"], d.pid)


if __name__ == "__main__":
    main()
