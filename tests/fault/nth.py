#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The n-th sync, write or allocation fails: an honest end each time, and no wrong word.

n counts from 1 until a run passes in which nothing failed; each failure comes once, and in
another run from then on.  The daemon may end, with a status that says why, or
answer with an error; whatever it acknowledged must be there, and the next
start, on a sound disk, must work.  A failed sync is as bad as Linux makes it: what it
should have written never reaches the disk, however often it is tried again.

The short run makes n grow by 40 percent each time, the long one takes every n, of
allocations every MEMORY_STRIDE-th (50), beginning by lot.
"""
import collections
import concurrent.futures
import contextlib
import errno
import os
import random
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
from client import Book, worker_document
from image import Image
from judge import Judge
from rig import CONFIG, FaultCase, SHIM, how_often
from awaitd_test import Client, Daemon, Gone, Late, RpcError, main, marked, wait_until

GROWTH = how_often("GROWTH", 40, 0)  # percent
MEMORY_STRIDE = how_often("MEMORY_STRIDE", 1, 50)
AT_ONCE = os.cpu_count() or 1
# Statuses; "small fixed-size allocations abort", and settings that cannot be read are wrong.
DONE, FAILED, NO_MEMORY, IO, SETTINGS = 0, 1, -6, 74, 78
SHORT = 3  # seconds for what a sound daemon does at once


class Life:
    """The scenario: start, submit 20, run, cancel, stop."""

    def __init__(self, d):
        self.d = d
        self.book_path = os.path.join(d.home, "book")
        self.journal = os.path.join(d.home, "journal")
        self.book = Book(self.book_path)

    def documents(self):
        def worker(work, **keys):
            return worker_document(self.journal, self.d.mark, work, **keys)
        quick = [{"kind": "timer", "sleep": 0} for _ in range(10)]
        quick += [{"kind": "timer", "sleep": 0.01, "key": f"k{n}"} for n in range(3)]
        quick += [worker("", on_lost="fail"), worker("", on_lost="retry")]
        slow = [{"kind": "timer", "sleep": 100} for _ in range(3)]
        slow += [worker("sleep 100; "), worker("sleep 100; ", on_lost="retry")]
        return quick, slow

    def connect(self):
        """None when the daemon ended before it answered."""
        def answers():
            if self.d.process.poll() is not None:
                return "ended"
            with contextlib.suppress(OSError):
                return Client(self.d.socket)
            return None
        c = wait_until(answers, 20, "the daemon answers or ends")
        return None if c == "ended" else c

    def submit(self, c, documents):
        asked = []
        for number, document in enumerate(documents, self.n):
            document["name"] = f"n{number}"
            self.book.note("sent", name=document["name"], document=document)
            self.book.sync()
            asked.append((document, c.request("job.submit", document)))
        self.n += len(documents)
        ids = []
        for document, number in asked:
            with contextlib.suppress(RpcError):
                job = c.reply(number, SHORT)
                self.book.note("acknowledged", name=document["name"], id=job["id"], existing=False)
                ids.append(job["id"])
        return ids

    def wait(self, c, ids):
        if not ids:
            return
        got = c.call("job.wait", {"ids": ids, "timeout": SHORT}, 2 * SHORT)
        for job in got["jobs"]:
            if job["state"] == "done":
                self.book.note("ended", id=job["id"], outcome=job["outcome"],
                               attempt=job["attempt"], ended_at=job["ended_at"])

    def cancel(self, c, ids):
        if not ids:
            return
        with contextlib.suppress(RpcError):
            for job in c.call("job.cancel", {"ids": ids, "grace": 0}, SHORT)["jobs"]:
                self.book.note("cancelled", id=job["id"])

    def talk(self, c):
        quick, slow = self.documents()
        self.n = 0
        quick_ids, slow_ids = self.submit(c, quick), self.submit(c, slow)
        self.wait(c, quick_ids)
        self.cancel(c, slow_ids[:4])
        self.wait(c, slow_ids[:4])
        c.call("job.list", {}, SHORT)

    def run(self):
        c = self.connect()
        if c:
            # No answer in time is no wrong answer: a full disk may keep a cancel waiting.
            with contextlib.suppress(Gone, OSError, Late, RpcError):
                self.talk(c)
            c.close()
        self.book.sync()
        if self.d.is_alive():
            return self.d.stop()
        return self.d.wait_exit()


class Trial:
    """One life with one fault, and the next one on a sound disk."""

    def __init__(self, n, faults, allowed):
        self.n, self.faults, self.allowed = n, faults, allowed
        self.d = Daemon(config=CONFIG)
        self.life = Life(self.d)
        self.judge = Judge(self.d.state, [self.life.book_path], self.life.journal)
        self.status = None
        self.is_reached = False

    def fail(self):
        fired = os.path.join(self.d.dir, "fired")
        faults = {"LD_PRELOAD": SHIM, "FAULT_DIR": self.d.state, "FAULT_AT": str(self.n),
                  "FAULT_FIRED": fired, **self.faults}
        log = os.path.join(self.d.dir, "changes")
        if self.faults["FAULT_FAIL"] == "sync":
            faults["FAULT_LOG"] = log
        os.mkdir(self.d.state, 0o700)
        image = Image(self.d.state)
        self.d.spawn(env=faults)
        self.status = self.life.run()
        wait_until(lambda: not marked(self.d.mark), 10, "nothing is left")
        if os.path.exists(log):
            image.replay(log)
            image.check()
            image.put(image.strict())
        self.is_reached = os.path.exists(fired)
        if self.status not in (self.allowed if self.is_reached else (DONE,)):
            raise AssertionError(f"exit status {self.status}")
        self.judge.look()

    def go_on(self):
        self.judge.sent["after"] = {"kind": "timer"}
        self.d.start()
        with self.d.client() as c:
            self.judge.acknowledged.add("after", c.submit("timer", sleep=0, name="after")["id"])
        if self.d.stop() != 0:
            raise AssertionError("the orderly stop after the next start failed")
        self.judge.look(is_last=True)

    def run(self):
        try:
            self.fail()
            self.go_on()
            wrong = self.d.finish()
            if wrong:
                raise AssertionError("; ".join(wrong))
        except AssertionError as e:
            self.d.finish()
            raise AssertionError(f"{self.faults}, n = {self.n}: {e}\n{self.d.log_tail()}") from e
        finally:
            self.d.remove()
        return self


class Nth(FaultCase):
    def setUp(self):
        self.need_shim()

    @staticmethod
    def numbers(stride):
        n = random.randint(1, stride)
        while True:
            yield n
            n += max(stride, n * GROWTH // 100)

    def all(self, what, allowed, **more):
        """n = 1, 2, ... until nothing fails any more."""
        faults = {"FAULT_FAIL": what, **more}
        statuses = collections.Counter()
        numbers = self.numbers(MEMORY_STRIDE if what.endswith("memory") else 1)
        last = 0
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            while last == 0:
                batch = [pool.submit(Trial(next(numbers), faults, allowed).run)
                         for _ in range(AT_ONCE)]
                for trial in [b.result() for b in batch]:
                    if trial.is_reached:
                        statuses[trial.status] += 1
                    else:
                        last = last or trial.n
        text = ", ".join(f"{n} times {status}" for status, n in sorted(statuses.items()))
        print(f"\n{what}, {'from then on' if 'FAULT_LASTS' in more else 'once'}: "
              f"{sum(statuses.values())} of {last - 1} tried; exit status {text}", flush=True)
        self.assertGreater(sum(statuses.values()), 0, "nothing failed")

    def test_sync(self):
        self.all("sync", (DONE, IO))

    def test_sync_for_ever(self):
        self.all("sync", (DONE, IO), FAULT_LASTS="1")

    def test_write(self):
        self.all("write", (DONE, IO))

    def test_write_for_ever(self):
        self.all("write", (DONE, IO), FAULT_LASTS="1")

    def test_full(self):
        self.all("write", (DONE, IO), FAULT_ERRNO=str(errno.ENOSPC))

    def test_full_for_ever(self):
        self.all("write", (DONE, IO), FAULT_ERRNO=str(errno.ENOSPC), FAULT_LASTS="1")

    def test_memory_of_sqlite(self):
        self.all("sqlite-memory", (DONE, IO, NO_MEMORY))

    def test_memory_of_sqlite_for_ever(self):
        self.all("sqlite-memory", (DONE, IO, NO_MEMORY), FAULT_LASTS="1")

    def test_memory(self):
        self.all("memory", (DONE, FAILED, IO, NO_MEMORY, SETTINGS))

    def test_memory_for_ever(self):
        self.all("memory", (DONE, FAILED, IO, NO_MEMORY, SETTINGS), FAULT_LASTS="1")


if __name__ == "__main__":
    main()
