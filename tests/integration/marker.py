#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A marker in every place that takes a secret turns up nowhere but with its owner and root."""
import grp
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import TestCase, main, unused_port, wait_until

MARKER = "MARKER-7c1e55"
DAEMON, OWNER, ADMIN, STRANGER = (65534, 65534), (4701, 4701), (4702, 1), (4703, 4703)


def documents(d, web):
    """Jobs of all kinds that end in all ways, with the marker wherever a secret may stand."""
    env = {"PASSWORD": MARKER}
    secret_url = f"http://user:{MARKER}@127.0.0.1:"
    fetch = {"kind": "fetch", "headers": {"X-Token": MARKER}, "method": "POST", "body": MARKER}
    part = d.shell("exit 1", env=env, stdin=MARKER, cwd="/")
    yield d.shell("true", env=env, stdin=MARKER, cwd="/")
    yield d.shell("exit 3", env=env, stdin=MARKER, cwd="/")
    yield d.worker("/nonexistent/program", env=env, cwd="/")
    yield d.shell("sleep 600", env=env, timeout=0.2, cwd="/")
    yield {**fetch, "url": web.url("/bytes/10").replace("http://", f"http://user:{MARKER}@")}
    yield {**fetch, "url": f"{secret_url}{unused_port()}/"}
    yield {**fetch, "url": f"http://user:{MARKER}@no-such-host.invalid/"}
    yield {**fetch, "url": web.url("/status/404").replace("http://", f"http://{MARKER}@")}
    yield {"kind": "gather", "on_failure": "continue", "jobs": [part, part]}
    yield {"kind": "sequence", "jobs": [part, {**fetch, "url": f"{secret_url}1/"}]}


def bad_documents():
    """What is refused: the message must not repeat what it was about."""
    yield {"kind": "worker", "argv": ["true"], "env": {"LD_PRELOAD": MARKER}}
    yield {"kind": "worker", "argv": ["true"], "env": {"A": [MARKER]}}
    yield {"kind": "fetch", "url": f"http://user:{MARKER}@/"}
    yield {"kind": "fetch", "url": f"ftp://user:{MARKER}@host/"}
    yield {"kind": "fetch", "url": "http://h/", "headers": {"X": f"{MARKER}\r\nY: z"}}
    yield {"kind": "fetch", "url": "http://h/", "body": MARKER, "method": "GET"}
    yield {"kind": "worker", "argv": ["true"], "stdin": [MARKER]}


class Listener:
    """A connection that hears of everything; what it was sent."""

    def __init__(self, client):
        self.client = client
        self.has_events = True
        try:
            client.call("events.subscribe", {"since": 0})
        except Exception as e:  # a daemon without events
            if "built" not in str(e):
                raise
            self.has_events = False

    def text(self):
        self.client.call("daemon.info")  # what was sent before has come before this answer
        return json.dumps(self.client.notes)


@unittest.skipUnless(os.getuid() == 0, "needs root, to be several users")
class Secrets(TestCase):
    limit = 180

    def start(self):
        admins = grp.getgrgid(ADMIN[1]).gr_name
        d = self.daemon(start=False, user=DAEMON, config=(
            f"[access]\nadmin_group = {admins}\n[daemon]\nlog_level = debug\n"
            "[fetch]\nallow_networks = any\n[hooks]\non_end = /bin/cat\n"))
        os.chmod(d.config, 0o644)
        command = [w if w != "--user" else "--system" for w in d.command()]
        d.command = lambda *more: command + list(more)
        d.start()
        os.chmod(d.dir, 0o755)
        os.chmod(d.socket, 0o666)
        return d

    def submit_all(self, d, c):
        web = self.web()
        ids = []
        for document in documents(d, web):
            try:
                job = c.call("job.submit", document)
            except Exception as e:
                if getattr(e, "data", {}).get("code") == "unsupported":
                    continue
                raise
            self.assertIn(MARKER, json.dumps(job), "the submitter gets the reply")
            ids.append(job["id"])
        waiting = c.call("job.submit", d.shell("true", env={"P": MARKER}, delay=600, cwd="/"))["id"]
        return ids, waiting

    def look_everywhere(self, c, ids):
        """Every reply that tells of jobs, but job.get, as one text."""
        replies = [c.list_all()]
        for method, params in (("job.wait", {"ids": ids, "timeout": 0}),
                               ("daemon.info", None), ("daemon.stats", None), ("queue.list", None),
                               ("job.cancel", {"ids": ids}), ("job.hold", {"ids": ids}),
                               ("job.why", {"id": ids[-1]})):
            try:
                replies.append(c.call(method, params))
            except Exception as e:
                replies.append(str(e))
        for number in ids:
            for method in ("job.output", "job.why"):
                try:
                    replies.append(c.call(method, {"id": number}))
                except Exception as e:
                    replies.append(str(e))
        return json.dumps(replies)

    def test_the_marker(self):
        d = self.start()
        owner, root = self.client(d, ids=OWNER), self.client(d)
        admin, stranger = self.client(d, ids=ADMIN), self.client(d, ids=STRANGER)
        ears = [Listener(self.client(d, ids=ids)) for ids in (OWNER, ADMIN, STRANGER, None)]
        for document in bad_documents():
            e = owner.call_error("job.submit", document)
            self.assertNotIn(MARKER, json.dumps([str(e), e.data]))
        ids, waiting = self.submit_all(d, owner)
        owner.wait(*ids, timeout=60)
        everything = {"owner": self.look_everywhere(owner, ids),
                      "root": self.look_everywhere(root, ids),
                      "admin": self.look_everywhere(admin, ids + [waiting]),
                      "stranger": self.look_everywhere(stranger, ids + [waiting])}
        everything["admin's get"] = json.dumps([admin.call("job.get", {"id": i}) for i in ids])
        hooks = wait_until(lambda: root.list_all(tag="hook", state="done"), 20, "hooks have run")
        for i, ear in enumerate(ears):
            text = ear.text()
            everything[f"events {i}"] = text
            if ear.has_events and i != 2:
                wait_until(lambda: '"done"' in ear.text(), 10, "events were told")
        self.assertGreater(min(len(everything[who]) for who in ("owner", "root", "admin")), 2000)
        everything["hooks"] = json.dumps([root.get(h["id"])["spec"] for h in hooks])
        everything["hooks' output"] = repr([root.output(h["id"]) for h in hooks])
        for whose, text in everything.items():
            self.assertNotIn(MARKER, text, whose)
        for number in ids:
            self.assertEqual(stranger.call_error("job.get", {"id": number}).data["code"],
                             "not_found")
            self.assertIn(MARKER, json.dumps(root.get(number)), "root sees it")
            self.assertIn(MARKER, json.dumps(owner.get(number)), "its owner sees it")
        self.assertIn("***", everything["owner"])
        owner.wait(waiting)
        for c in (owner, root, admin, stranger):
            c.close()
        self.assertEqual(d.stop(), 0)
        self.assertIn("failed", d.log())
        self.assertNotIn(MARKER, d.log())
        self.check_files(d)

    def check_files(self, d):
        """What lies on the disk is for the daemon's user alone."""
        for folder, _, names in os.walk(d.state):
            self.assertEqual(os.stat(folder).st_mode & 0o077, 0, folder)
            for name in names:
                path = os.path.join(folder, name)
                self.assertEqual(os.lstat(path).st_mode & 0o077, 0, path)


if __name__ == "__main__":
    main()
