#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Who may do what: owners come from the socket, other people's jobs are not there."""
import grp
import json
import os
import socket
import stat
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
        for number in (job["id"], worker["id"]):
            replies = [c.call("job.update", {"id": number, "priority": 1}),
                       c.call("job.hold", {"ids": [number]}),
                       c.call("job.wait", {"ids": [number], "timeout": 0}),
                       c.call("job.cancel", {"ids": [number]})]
            for text in map(json.dumps, replies):
                self.assertNotRegex(text, "hush|word@|letter")
        c.wait(job["id"], worker["id"])
        e = c.wait_one(c.submit("worker", argv=["nothing-of-that-name"],
                                env={"PATH": "/hush"})["id"])["error"]
        self.assertEqual((e["code"], "hush" in json.dumps(e)), ("spawn", False))
        for secret in ("hush", "word@", "letter"):
            self.assertNotIn(secret, d.log())


@unittest.skipUnless(os.getuid() == 0, "needs root, to be a second user")
class TwoUsers(TestCase):
    def open_to_all(self, d):
        """The folder and the socket let anybody in: what refuses is the daemon itself."""
        os.chmod(d.dir, 0o755)
        os.chmod(d.socket, 0o666)

    def as_second(self, d, *words, ids=SECOND, groups=()):
        def become():
            os.setgroups(groups)
            os.setgid(ids[1])
            os.setuid(ids[0])
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
        for words in (("shutdown",), ("backup", "/tmp/awaitd-test-never-made")):
            p = self.as_second(d, *words)
            self.assertIn(p.returncode, (3, 4), p)
        self.assertEqual(c.get(mine)["state"], "waiting")
        c.call("job.cancel", {"ids": [mine]})

    def system(self, config="", user=SECOND, opened=True):
        """A daemon of another user, in system mode."""
        d = self.daemon(start=False, user=user, config=config)
        os.chmod(d.config, 0o644)
        command = [w if w != "--user" else "--system" for w in d.command()]
        d.command = lambda *more: command + list(more)
        d.start()
        if opened:
            self.open_to_all(d)
        return d

    def submit_secret(self, c):
        """A job with a secret in every place that takes one."""
        return c.call("job.submit", {
            "kind": "fetch", "url": "http://user:MARKER@127.0.0.1:9/", "delay": 600,
            "headers": {"X-Token": "MARKER"}, "method": "POST", "body": "MARKER"})["id"]

    def test_administrators_see_and_cancel_all_but_no_secrets(self):
        """A member of admin_group, by its primary and by a supplementary group."""
        name = grp.getgrgid(1).gr_name
        d = self.system(f"[access]\nadmin_group = {name}\n")
        c = self.client(d)
        secret = self.submit_secret(c)
        plain = c.submit("timer", sleep=0, delay=600)["id"]
        stranger = {"ids": (4711, 4711)}
        self.assertEqual(self.as_second(d, "show", str(secret), **stranger).returncode, 4)
        for admin in ({"ids": (4711, 1)}, {"ids": (4711, 4711), "groups": [9, 1, 8]},
                      {"ids": (4711, 4711), "groups": list(range(1, 300))}):
            p = self.as_second(d, "--json", "show", str(secret), **admin)
            self.assertEqual(p.returncode, 0, p)
            self.assertIn("***", p.stdout)
            self.assertNotIn("MARKER", p.stdout)
            p = self.as_second(d, "--json", "list", **admin)
            self.assertIn(f'"id":{plain},', p.stdout.replace(" ", ""))
            self.assertNotIn("MARKER", p.stdout)
        self.assertEqual(self.as_second(d, "cancel", str(plain), **admin).returncode, 0)
        self.assertEqual(c.wait_one(plain)["error"]["by"], 4711)
        self.assertEqual(self.as_second(d, "queue", "pause", "worker", **admin).returncode, 0)
        self.assertEqual(self.as_second(d, "queue", "resume", "worker", **stranger).returncode, 4)
        self.assertEqual(self.as_second(d, "shutdown", **admin).returncode, 4)
        self.assertIn("MARKER", json.dumps(c.get(secret)), "root sees it")
        self.assertNotIn("MARKER", d.log())
        c.call("job.cancel", {"ids": [secret]})

    def test_a_retry_belongs_to_the_owner_of_the_job(self):
        """Who retries other people's jobs does not come by their secrets."""
        name = grp.getgrgid(1).gr_name
        d = self.system(f"[access]\nadmin_group = {name}\n")
        c = self.client(d)
        secret = self.submit_secret(c)
        c.call("job.cancel", {"ids": [secret]})
        c.wait(secret)
        p = self.as_second(d, "retry", str(secret), ids=(4711, 1))
        self.assertEqual(p.returncode, 0, p)
        new = c.wait_one(int(p.stdout))
        self.assertEqual((new["owner"]["uid"], new["retry_of"]), (0, secret))
        self.assertIn("MARKER", json.dumps(c.get(new["id"])))
        p = self.as_second(d, "--json", "show", str(new["id"]), ids=(4711, 1))
        self.assertEqual(p.returncode, 0, p)
        self.assertNotIn("MARKER", p.stdout)
        self.assertNotIn("MARKER", d.log())

    def test_what_waits_is_the_owners_to_change(self):
        d = self.system()
        c = self.client(d)
        mine = c.submit("timer", sleep=0, delay=600)["id"]
        for words in (("hold", str(mine)), ("release", str(mine)), ("why", str(mine)),
                      ("update", "--priority", "3", str(mine)), ("retry", str(mine)),
                      ("watch", str(mine)), ("timeline", str(mine))):
            p = self.as_second(d, *words, ids=(4711, 4711))
            self.assertEqual((p.returncode, p.stdout), (4, ""), p)
            self.assertIn(f"there is no job {mine}", p.stderr, "not even that it exists")
        job = c.get(mine)
        self.assertEqual((job["reason"], job["priority"]), ("time", 0))
        # Root changes what is another's.
        theirs = int(self.as_second(d, "submit", "timer", "--delay", "600", "0",
                                    ids=(4711, 4711)).stdout)
        self.assertEqual(c.call("job.hold", {"ids": [theirs]})["jobs"][0]["reason"], "held")
        c.call("job.cancel", {"ids": [mine, theirs]})

    def test_events_are_of_ones_own_jobs(self):
        d = self.system()
        c = self.client(d)
        c.call("events.subscribe")
        mine = c.submit("timer", sleep=0)["id"]
        theirs = int(self.as_second(d, "submit", "timer", "0", ids=(4711, 4711)).stdout)
        c.wait(mine, theirs)
        p = self.as_second(d, "--json", "call", "job.list", ids=(4711, 4711))
        self.assertEqual([j["id"] for j in json.loads(p.stdout)["jobs"]], [theirs])
        p = subprocess.Popen([AWAITCTL, "--socket", d.socket, "--json", "watch", "--since", "0"],
                             user=4711, group=4711, extra_groups=[], cwd="/", text=True,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             env={"PATH": d.env["PATH"], "HOME": "/"})
        seen = [json.loads(p.stdout.readline()) for _ in range(3)]
        p.kill()
        p.communicate()
        self.assertEqual({e["job"]["id"] for e in seen}, {theirs})
        ends = set()
        while ends != {mine, theirs}:
            event = c.note("event")
            if event["type"] == "done":
                ends.add(event["job"]["id"])

    def test_administrators_change_by_reload(self):
        d = self.system("[access]\nadmin_group = no-such-group\n")
        c = self.client(d)
        job = c.submit("timer", sleep=0, delay=600)["id"]
        p = self.as_second(d, "show", str(job), ids=(4711, 1))
        self.assertEqual(p.returncode, 4, p)
        d.write_config(f"[access]\nadmin_group = {grp.getgrgid(1).gr_name}\n")
        os.chmod(d.config, 0o644)
        self.assertEqual(c.call("daemon.reload")["needs_restart"], [])
        p = self.as_second(d, "show", str(job), ids=(4711, 1))
        self.assertEqual(p.returncode, 0, p)
        d.write_config("[access]\nadmin_group =\n")
        os.chmod(d.config, 0o644)
        c.call("daemon.reload")
        self.assertEqual(self.as_second(d, "show", str(job), ids=(4711, 1)).returncode, 4)
        c.call("job.cancel", {"ids": [job]})

    def test_socket_group_may_connect_and_nobody_else(self):
        name = grp.getgrgid(1).gr_name
        d = self.system(f"[access]\nsocket_group = {name}\n", user=None, opened=False)
        st = os.stat(d.socket)
        self.assertEqual((stat.S_IMODE(st.st_mode), st.st_gid), (0o660, 1))
        os.chmod(d.dir, 0o755)
        self.assertEqual(self.as_second(d, "info", ids=(4711, 4711)).returncode, 3)
        p = self.as_second(d, "info", ids=(4711, 4711), groups=[1])
        self.assertEqual(p.returncode, 0, p)

    def test_folder_of_the_socket_is_for_the_group(self):
        d = self.daemon(start=False, config=f"[access]\nsocket_group = {grp.getgrgid(1).gr_name}\n")
        d.socket = os.path.join(d.dir, "run", "s")
        command = [w if w != "--user" else "--system" for w in d.command()]
        d.command = lambda *more: command + list(more)
        d.start()
        st = os.stat(os.path.dirname(d.socket))
        self.assertEqual((stat.S_IMODE(st.st_mode), st.st_gid), (0o750, 1))

    def test_system_instance_keeps_owners_apart(self):
        """Each sees what is his own, root all."""
        d = self.system()
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
        # Here the second user is the daemon's own, who may have a copy of the store; no third.
        self.assertEqual(self.as_second(d, "backup", os.path.join(d.state, "copy")).returncode, 0)
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
