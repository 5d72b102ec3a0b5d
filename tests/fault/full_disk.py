#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A state directory of 4 MB is filled by submits: no new jobs, everything else goes on.

Needs the right to mount a tmpfs, which it does in a mount namespace of its own.
"""
import ctypes
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
from client import Book, worker_document
from rig import CONFIG, FaultCase, Rig
from awaitd_test import RpcError, main, wait_until
from manager import HAS_SYSTEMD, NotifySocket

CLONE_NEWNS = 0x20000
SIZE = "4m"
LARGE = "32m"
SOON = 5      # seconds for what must work while the disk is full
BACK = 2      # seconds after which new jobs are taken when there is space again
VALUE = "x" * 20000
DEGRADED = "STATUS=degraded: storage_full: "


def mount_privately():
    """A mount namespace of our own; None, or why it cannot be had."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        return os.strerror(ctypes.get_errno())
    p = subprocess.run(["mount", "--make-rprivate", "/"], stderr=subprocess.PIPE, text=True)
    return p.stderr.strip() if p.returncode != 0 else None


class FullDisk(FaultCase):
    def setUp(self):
        why = mount_privately()
        if why:
            self.skipTest(f"NOT TESTED: no tmpfs can be mounted here ({why}); run it as root")
        self.addCleanup(self.unmount)  # the last of the clean-ups
        self.rig = Rig(self, "full", 1)
        self.d = self.rig.d
        self.manager = NotifySocket(self, self.d)
        self.book = Book(self.rig.books[0])
        self.ballast = os.path.join(self.d.state, "ballast")
        self.gate = os.path.join(self.d.home, "gate")
        self.n_sent = 0
        os.mkdir(self.d.state, 0o700)
        self.mount("-t", "tmpfs", "-o", f"size={SIZE},mode=700", "tmpfs")

    def unmount(self):
        subprocess.run(["umount", "-l", self.d.state])
        self.d.remove()

    def mount(self, *words):
        subprocess.run(["mount", *words, self.d.state], check=True)

    # ---- what is known ----

    def submit(self, c, document):
        """The id, or None when the disk is full."""
        self.n_sent += 1
        document = {**document, "name": f"n{self.n_sent}"}
        self.book.note("sent", name=document["name"], document=document)
        self.book.sync()
        try:
            job = c.call("job.submit", document, SOON)
        except RpcError as e:
            self.assertEqual(e.word, "storage_full", e)
            self.assert_sentence(e.message)
            return None
        self.book.note("acknowledged", name=document["name"], id=job["id"], existing=False)
        self.book.sync()
        return job["id"]

    def cancel(self, c, number):
        c.call("job.cancel", {"ids": [number], "grace": 0}, SOON)
        self.book.note("cancelled", id=number)
        self.book.sync()

    def see_end(self, c, number, outcome):
        job = self.assert_done(c.wait(number, timeout=SOON)[0], outcome)
        self.book.note("ended", id=number, outcome=outcome, attempt=job["attempt"],
                       ended_at=job["ended_at"])
        self.book.sync()

    # ---- the disk ----

    def fill_with_submits(self, c):
        n = 0
        while self.submit(c, {"kind": "timer", "sleep": 0, "delay": 86400, "value": VALUE}):
            n += 1
            self.assertLess(n, 1000, "4 MB are never full")

    def fill_with_ballast(self):
        """Not a byte is left."""
        fd = os.open(self.ballast, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            for size in (65536, 4096, 1):
                try:
                    while True:
                        os.write(fd, bytes(size))
                except OSError:
                    pass
        finally:
            os.close(fd)

    def gated(self):
        """A worker that ends when the gate is open."""
        return worker_document(self.rig.journal, self.d.mark,
                               f"while ! test -e {self.gate}; do sleep 0.05; done; ",
                               on_lost="fail")

    def expect_status(self, text):
        """What "systemctl status" shows now, or in a moment."""
        if HAS_SYSTEMD:
            self.manager.until(text)

    def space_comes_back(self, c):
        began = time.monotonic()
        wait_until(lambda: self.submit(c, {"kind": "timer", "sleep": 0}), BACK,
                   "new jobs are taken when there is space")
        seconds = time.monotonic() - began
        self.expect_status("STATUS=running")
        return seconds

    # ---- the story ----

    def story(self, fill):
        self.d.start()
        c = self.client(self.d)
        running = [self.submit(c, self.gated()) for _ in range(4)]
        victim = self.submit(c, self.gated())
        timer = self.submit(c, {"kind": "timer", "sleep": 2})
        waiting = [self.submit(c, {"kind": "timer", "sleep": 0, "delay": 86400})
                   for _ in range(10)]
        for number in (*running, victim):
            c.wait_state(number, "running")
        self.expect_status("STATUS=running")
        fill(c)
        self.expect_status(DEGRADED)
        for _ in range(5):
            self.assertIsNone(self.submit(c, {"kind": "timer", "sleep": 0, "value": VALUE}))
        self.assertGreaterEqual(len(c.list_all()), 16)
        self.cancel(c, victim)
        self.see_end(c, victim, "cancelled")
        self.cancel(c, waiting[0])
        self.see_end(c, timer, "succeeded")
        with open(self.gate, "w", encoding="ascii"):
            pass
        for number in running:
            self.see_end(c, number, "succeeded")
        n = len(c.list_all())
        self.mount("-o", f"remount,size={LARGE}")
        seconds = self.space_comes_back(c)
        print(f"\nfull with {n} jobs; taken again {seconds:.2f} s after there was space",
              flush=True)
        self.end(c)

    def test_filled_by_submits(self):
        """New jobs are refused in time."""
        self.story(self.fill_with_submits)

    def test_filled_to_the_brim(self):
        """New jobs are refused when a commit finds no room: what is left is the reserve."""
        self.d.write_config(CONFIG + "[storage]\nmin_free = 0\n")
        self.story(self.fill_with_submits)

    def test_filled_by_others(self):
        """All at once, while jobs run."""
        def fill(c):
            self.fill_with_ballast()
            self.fill_with_submits(c)  # there may be room in the log
        self.story(fill)

    def test_start_on_a_full_disk(self):
        self.d.start()
        c = self.client(self.d)
        waiting = [self.submit(c, {"kind": "timer", "sleep": 0, "delay": 86400})
                   for _ in range(10)]
        lost = self.submit(c, self.gated())
        c.wait_state(lost, "running")
        self.rig.kill9()
        self.fill_with_ballast()
        self.d.start()
        self.expect_status(DEGRADED)
        c = self.client(self.d)
        self.assertEqual(len(c.list_all()), 11)
        self.fill_with_submits(c)  # there may be room in the log
        self.assertEqual(self.d.stop(), 0, "an orderly stop on a full disk")
        self.rig.judge.look()
        self.d.start()
        c = self.client(self.d)
        self.assertGreaterEqual(len(c.list_all()), 11)
        os.unlink(self.ballast)
        self.space_comes_back(c)
        self.see_end(c, lost, "lost")
        self.cancel(c, waiting[0])
        self.see_end(c, waiting[0], "cancelled")
        self.end(c)

    def test_drain_on_a_full_disk(self):
        """What ends cannot be stored: the drain says so and waits; a stop at once is one."""
        self.d.write_config(CONFIG + "[storage]\nmin_free = 0\n")
        self.d.start()
        c = self.client(self.d)
        running = [self.submit(c, self.gated()) for _ in range(4)]
        for number in running:
            c.wait_state(number, "running")
        self.fill_with_ballast()
        self.fill_with_submits(c)
        self.fill_with_ballast()  # the reserve was let go
        self.expect_status(DEGRADED)
        c.call("daemon.shutdown", {"drain": True}, SOON)
        self.expect_status("STATUS=stopping when nothing runs any more; little space is left")
        with open(self.gate, "w", encoding="ascii"):
            pass
        with self.assertRaises(AssertionError, msg="a drain waits for space"):
            wait_until(lambda: not self.d.is_alive(), 2, "the end of the daemon")
        began = time.monotonic()
        self.assertEqual(self.d.stop(), 0, "an orderly stop on a full disk")
        self.assertLess(time.monotonic() - began, SOON)
        os.unlink(self.ballast)
        self.d.start()
        c = self.client(self.d)
        for number in running:
            self.see_end(c, number, "lost")
        self.end(c)

    def end(self, c):
        for job in c.list_all(state="waiting"):
            self.cancel(c, job["id"])
        self.assertEqual(self.d.stop(), 0)
        self.rig.judge.close()


if __name__ == "__main__":
    main()
