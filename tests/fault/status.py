#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What "systemctl status" shows of a daemon that cannot go on, or not in full (R1.5, R1.6).

A manager that is not there is played by a socket; the disk fails by shim.c.  Each state has
its exit status and one line that says what is wrong, and it is the last one.
"""
import contextlib
import os
import sqlite3
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
from rig import FaultCase, SHIM
from awaitd_test import Gone, RpcError, main, wait_until
from manager import HAS_SYSTEMD, NotifySocket

DAMAGED, IO, IN_USE, NEWER = 65, 74, 75, 78
PAGE = 4096
# So many of them no start needs, which lays out the log; and some submits later they are reached.
SYNCS, WRITES, ALLOCATIONS = 60, 600, 40000
SUBMITS = 2000


@unittest.skipUnless(HAS_SYSTEMD, "built without libsystemd")
class Status(FaultCase):
    def setUp(self):
        self.need_shim()
        self.d = self.daemon(start=False)
        self.manager = NotifySocket(self, self.d)
        self.database = os.path.join(self.d.state, "awaitd.db")

    def spawn(self, **faults):
        os.makedirs(self.d.state, mode=0o700, exist_ok=True)
        self.d.spawn(env={"LD_PRELOAD": SHIM, "FAULT_DIR": self.d.state, **faults})
        self.manager.until("READY=1")

    def make(self, n=3):
        """A database with jobs that are done, closed in order."""
        self.d.start()
        with self.d.client() as c:
            ids = c.call("job.submit_many", {"jobs": [
                {"kind": "timer", "sleep": 0, "value": f"here is job {i}"} for i in range(n)]})
            c.wait(*ids["ids"])
        self.assertEqual(self.d.stop(), 0)
        self.manager.last_status()  # what it has said so far is of no interest
        return ids["ids"]

    def expect_end(self, status, *words):
        """The daemon ends by itself, and the last that it said has these words."""
        self.assertEqual(self.d.wait_exit(), status, self.d.log_tail())
        said = self.manager.last_status()
        self.assertIsNotNone(said, "no STATUS=")
        for word in words:
            self.assertIn(word, said)
        self.assertIn(said, self.d.log(), "the log says the same")

    # ---- while it runs ----

    def submit_until_gone(self):
        with self.d.client() as c, contextlib.suppress(Gone, OSError):
            for _ in range(SUBMITS):
                c.submit("timer", sleep=100)
            self.fail("the fault never came")

    def test_a_sync_fails(self):
        self.spawn(FAULT_FAIL="sync", FAULT_AT=str(SYNCS))
        self.submit_until_gone()
        self.expect_end(IO, self.database, "disk I/O error (1034)")

    def test_a_write_fails(self):
        self.spawn(FAULT_FAIL="write", FAULT_AT=str(WRITES))
        self.submit_until_gone()
        self.expect_end(IO, self.database, "disk I/O error (778)")

    def test_memory_fails(self):
        """Of what SQLite may need: a commit's fate is as unknown as after a failed write."""
        self.spawn(FAULT_FAIL="sqlite-memory", FAULT_AT=str(ALLOCATIONS))
        self.submit_until_gone()
        self.expect_end(IO, self.database, "out of memory (7)")

    def test_a_page_is_damaged(self):
        """Found by whoever reads it, long after the start."""
        ids = self.make(500)
        with open(self.database, "r+b") as f:
            at = f.read().index(b"here is job 250")
            f.seek(at - at % PAGE)
            f.write(bytes(PAGE))
        self.spawn()
        with self.d.client() as c, contextlib.suppress(Gone, OSError):
            for number in ids:
                c.get(number)
            self.fail("the damage was not seen")
        self.expect_end(DAMAGED, self.database, "malformed (11)")

    def works_until(self, n, number):
        """With a disk that fails from the n-th sync on: does it start, and remove a job?"""
        self.manager.last_status()  # the one before may have been ready, too
        self.d.spawn(env={"LD_PRELOAD": SHIM, "FAULT_DIR": self.d.state, "FAULT_FAIL": "sync",
                          "FAULT_AT": str(n), "FAULT_LASTS": "1"})
        wait_until(lambda: not self.d.is_alive()
                   or "READY=1" in (self.manager.read(time.monotonic()) or ()), 20, "a start")
        with contextlib.suppress(Gone, OSError), self.d.client() as c:
            if number in [job["id"] for job in c.list_all()]:
                c.call("job.remove", {"ids": [number]})
            return True
        self.assertEqual(self.d.wait_exit(), IO)
        return False

    def test_the_last_sync_fails(self):
        """Nothing is lost by that: it is in the log, which the next start reads."""
        number = self.make()[0]
        n = 1
        while not self.works_until(n, number):
            n += 1
        self.manager.last_status()
        self.d.process.terminate()
        self.assertEqual(self.d.wait_exit(), IO)
        self.assertEqual(self.manager.last_status(),
                         "the disk failed at the stop; what was acknowledged is safe")
        print(f"\nsync {n} was the one at the stop", flush=True)

    # ---- a disk that fills up, and has room again ----

    def test_a_commit_finds_no_room(self):
        self.spawn(FAULT_FAIL="write", FAULT_AT=str(WRITES), FAULT_ERRNO="28")
        with self.d.client() as c:
            for _ in range(SUBMITS):
                with contextlib.suppress(RpcError):
                    c.submit("timer", sleep=100)
                lines = self.manager.read(time.monotonic())
                if lines:
                    break
            self.assertEqual(len(lines), 1, lines)
            self.assertTrue(lines[0].startswith("STATUS=degraded: storage_full: "), lines)
            self.manager.until("STATUS=running")

    # ---- a start that is refused ----

    def expect_refusal(self, status, *words):
        self.d.spawn()
        self.expect_end(status, *words)

    def test_a_damaged_database(self):
        self.make()
        with open(self.database, "r+b") as f:
            f.write(bytes(100))
        self.expect_refusal(DAMAGED, self.database, "put a sound copy in its place")

    def test_an_empty_database(self):
        self.make()
        os.truncate(self.database, 0)
        self.expect_refusal(DAMAGED, self.database, "is empty")

    def test_a_newer_database(self):
        self.make()
        with contextlib.closing(sqlite3.connect(self.database)) as db:
            db.execute("PRAGMA user_version = 99")
        self.expect_refusal(NEWER, self.database, "newer awaitd")

    def test_a_second_daemon(self):
        self.d.start()
        second = self.daemon(start=False)
        second.state = self.d.state
        self.d, first = second, self.d
        self.manager = NotifySocket(self, second)
        self.expect_refusal(IN_USE, "another awaitd uses this state directory")
        self.assertTrue(first.is_alive())

    def test_settings_that_are_wrong(self):
        self.d.write_config("[daemon]\nno_such = 1\n")
        self.expect_refusal(NEWER, "no_such")


if __name__ == "__main__":
    main()
