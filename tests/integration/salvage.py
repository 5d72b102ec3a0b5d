#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A damaged store is refused, and the steps of awaitd(8) save what can be read."""
import os
import re
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import TOP, TestCase, main

PAGE = 4096


def manual_steps():
    """The commands of the manual, between the stop and the start of the service."""
    with open(os.path.join(os.environ.get("AWAITD_SRCDIR", TOP), "daemon/awaitd.8"),
              encoding="utf-8") as f:
        text = f.read()
    text = text[text.index(".Ss When the store is refused"):]
    block = re.search(r"\.Bd -literal[^\n]*\n(.*?)\.Ed", text, re.S).group(1)
    steps = block.replace("\\e", "\\").split("\n# ")
    assert "systemctl stop" in steps[0] and "systemctl start" in steps[-1], steps
    return steps[1:-1]


@unittest.skipUnless(shutil.which("sqlite3"), "needs the program sqlite3")
class Salvage(TestCase):
    def test_by_the_manual(self):
        d = self.daemon()
        with d.client() as c:
            for _ in range(5):
                c.call("job.submit_many", {"jobs": [
                    {"kind": "timer", "sleep": 0, "delay": 86400, "value": "x" * 300}] * 1000})
            done = c.submit("timer", sleep=0, value="kept")["id"]
            c.wait_one(done)
        d.stop()
        database = os.path.join(d.state, "awaitd.db")
        pages = os.path.getsize(database) // PAGE
        with open(database, "r+b") as f:
            for page in range(pages // 3, pages // 3 + 3):
                f.seek(page * PAGE)
                f.write(b"\xa5" * PAGE)
        # Stopped in order, it is not looked through at the start; --check does that.
        self.assertEqual(d.spawn("--check").wait(30), 65)
        self.assertIn("'.clone saved.db'", d.log())
        script = "\n".join(["set -e"] + manual_steps())
        self.assertIn("chown awaitd:awaitd", script)
        script = script.replace("/var/lib/awaitd", d.state).replace("chown awaitd:awaitd",
                                                                    "true")
        p = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
        self.assertEqual(p.returncode, 0, p)
        self.assertTrue(os.path.exists(d.state + ".before/awaitd.db"))
        d.start()
        c = self.client(d)
        jobs = c.list_all()
        print(f"\n{len(jobs)} of 5001 jobs are left", flush=True)
        self.assertGreater(len(jobs), 2500)
        self.assertEqual(c.get(done)["result"], "kept")
        new = c.submit("timer", sleep=0, delay=9)["id"]
        self.assertGreater(new, 5001, "ids are not used again")
        states = c.call("daemon.stats")["jobs"]["states"]
        self.assertEqual(states["waiting"] + states["done"], len(jobs) + 1)
        self.assertEqual(d.stop(), 0)


if __name__ == "__main__":
    main()
