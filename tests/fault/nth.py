#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The n-th sync, write or allocation fails: an honest end each time, and no wrong word.

n counts from 1 until a run passes in which nothing failed; each failure comes once, and in
another run from then on.  The daemon may end, with a status that says why, or
answer with an error; whatever it acknowledged must be there, and the next
start, on a sound disk, must work.  A failed sync is as bad as Linux makes it: what it
should have written never reaches the disk, however often it is tried again.

The short run makes n grow by 40 percent each time, the long one takes every n.

Of allocations there are tens of thousands, most of them at the same places for the same
reasons.  The long run (STACKS) therefore lets fail, instead of every n, the first one with each
call stack: all callers up to the beginning of the thread.  A run in which nothing fails tells the
stacks, and so does each other one up to its failure.  A stack that does not come again (who
is served first is a matter of time) is tried TRIES times, and counted.
"""
import collections
import concurrent.futures
import contextlib
import errno
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
from client import Book, worker_document
from image import Image
from judge import Judge
from rig import CONFIG, FaultCase, SHIM, how_often
from awaitd_test import Client, Daemon, Gone, Late, RpcError, main, marked, wait_until

GROWTH = how_often("GROWTH", 40, 0)  # percent
STACKS = how_often("STACKS", 0, 1)
AT_ONCE = os.cpu_count() or 1
# Statuses; "small fixed-size allocations abort", and settings that cannot be read are wrong.
DONE, FAILED, NO_MEMORY, IO, SETTINGS = 0, 1, -6, 74, 78
# Libraries that do not survive it themselves, by a word of the crash's call stack: glibc 2.36
# without memory for nsswitch.conf, libcurl 7.88 without that for its table of connections.
NOT_OURS = {-11: "(__nss_", -8: "libcurl.so"}
NSS_WORDS = "nss_database.c"  # where glibc asserts instead
SHORT = 3  # seconds for what a sound daemon does at once
TRIES = 4  # to meet a call stack again


class Life:
    """The first scenario: start, submit 20, run, cancel, stop."""

    prefix = "n"

    def __init__(self, d, web=None):
        self.d, self.web = d, web
        self.n = 0
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
            document["name"] = f"{self.prefix}{number}"
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


class Before(Life):
    """What the second scenario finds: jobs that are done, that wait, that ran at the stop."""

    prefix = "b"
    again = {"kind": "timer", "sleep": 0, "key": "same", "name": prefix + "0"}

    def documents(self):
        timer = {"kind": "timer", "sleep": 0}
        quick = [dict(self.again), {**timer, "value": [1, {"a": "b"}]},
                 {"kind": "gather", "jobs": [timer, {**timer, "value": 2}]},
                 {"kind": "worker", "argv": ["/bin/false"], "queue": "q", "tags": ["x"]}]
        slow = [{**timer, "delay": 100, "key": "later"}, {"kind": "timer", "sleep": 100},
                {"kind": "worker", "argv": ["/bin/sleep", "100"], "on_lost": "retry"},
                {"kind": "sequence", "jobs": [timer, {"kind": "timer", "sleep": 100}]},
                {**timer, "deadline": 1000, "hold": True}]
        return quick, slow

    def talk(self, c):
        quick, slow = self.documents()
        self.wait(c, self.submit(c, quick))
        self.submit(c, slow)


class After(Life):
    """The second scenario: a store that has a past, and everything that a client can ask."""

    def documents(self):
        timer = {"kind": "timer", "sleep": 0.01}
        worker = worker_document(self.journal, self.d.mark, "echo words; ", on_lost="fail")
        return [{**timer, "key": "new"}, worker,
                {"kind": "gather", "jobs": [timer, {**timer, "value": "x" * 5000}]},
                {"kind": "race", "jobs": [timer, {"kind": "timer", "sleep": 100}]},
                {"kind": "fetch", "url": self.web + "/bytes/2000",
                 "output": os.path.join(self.d.home, "file")},
                {"kind": "fetch", "url": self.web + "/status/404"},
                {**timer, "retry": {"max": 1}, "timeout": 10, "tags": ["a"]},
                {"kind": "worker", "argv": ["/not/there"], "retry": {"max": 1, "delay": 0.01}},
                {**timer, "delay": 100}]

    def ask(self, c, method, **params):
        with contextlib.suppress(RpcError):
            return c.call(method, params, SHORT)
        return None

    def resend(self, c):
        """As a client does whose reply was lost."""
        job = self.ask(c, "job.submit", **Before.again)
        if job:
            self.book.note("acknowledged", name=job["name"], id=job["id"], existing=True)

    def submit_and_remove(self, c):
        """One of which no more is promised."""
        document = {"kind": "timer", "sleep": 0, "name": "gone", "keep": 1}
        self.book.note("sent", name=document["name"], document=document)
        self.book.sync()
        job = self.ask(c, "job.submit", **document)
        if job:
            self.ask(c, "job.wait", ids=[job["id"]], timeout=SHORT)
            self.ask(c, "job.remove", ids=[job["id"]])

    def talk(self, c):
        self.ask(c, "events.subscribe", since=0)
        self.resend(c)
        self.submit_and_remove(c)
        ids = self.submit(c, self.documents())
        self.ask(c, "job.hold", ids=ids[-1:])
        self.ask(c, "job.why", id=ids[-1] if ids else 1)
        self.ask(c, "job.update", id=ids[-1] if ids else 1, priority=3)
        self.ask(c, "job.release", ids=ids[-1:] or [1])
        ids += self.submit(c, [{"kind": "timer", "sleep": 0,
                                "needs": [{"job": i, "on": "done"} for i in ids[:2]]}])
        self.cancel(c, ids[-2:-1])
        self.wait(c, ids)
        self.ask(c, "job.list", state=["done"], limit=5)
        for number in ids[1:3]:
            self.ask(c, "job.get", id=number)
            self.ask(c, "job.output", id=number)
        self.ask(c, "queue.set", name="q", limit=2)
        self.ask(c, "queue.pause", name="q")
        self.ask(c, "daemon.stats")
        self.ask(c, "daemon.reload")
        self.ask(c, "daemon.backup", path=os.path.join(self.d.home, "copy.db"))


class Past:
    """A state directory and what is known of it, for scenarios that begin with one."""

    def __init__(self, folder, web):
        self.web = web
        self.state, self.book = os.path.join(folder, "state"), os.path.join(folder, "book")
        d = Daemon(config=CONFIG)
        life = Before(d)
        d.spawn()
        status = life.run()
        shutil.copytree(d.state, self.state)
        shutil.copyfile(life.book_path, self.book)
        wrong = d.finish()
        d.remove()
        if status != 0 or wrong:
            raise AssertionError(f"the life before ended with {status}, {wrong}")


class Trial:
    """One life with one fault, and the next one on a sound disk."""

    def __init__(self, faults, allowed, past=None):
        self.faults, self.allowed, self.past = faults, allowed, past
        self.d = Daemon(config=CONFIG)
        self.life = After(self.d, past.web) if past else Life(self.d)
        books = [past.book] if past else []
        self.judge = Judge(self.d.state, [*books, self.life.book_path], self.life.journal)
        self.status = None
        self.is_reached = False
        self.where = ""
        self.stacks = []

    def fail(self):
        fired, log, stacks = (os.path.join(self.d.dir, name) for name in
                              ("fired", "changes", "stacks"))
        faults = {"LD_PRELOAD": SHIM, "FAULT_DIR": self.d.state, "FAULT_FIRED": fired,
                  **self.faults}
        if self.faults["FAULT_FAIL"] == "sync":
            faults["FAULT_LOG"] = log
        if "FAULT_AT" not in self.faults:
            faults["FAULT_STACKS"] = stacks
        if self.past:
            shutil.copytree(self.past.state, self.d.state)
        else:
            os.mkdir(self.d.state, 0o700)
        image = Image(self.d.state)
        self.d.spawn(env=faults)
        self.status = self.life.run()
        wait_until(lambda: not marked(self.d.mark), 10, "nothing is left")
        if os.path.exists(log):
            image.replay(log)
            image.check()
            image.put(image.strict())
        if os.path.exists(stacks):
            with open(stacks, encoding="ascii") as f:
                self.stacks = f.read().split()
        self.is_reached = os.path.exists(fired)
        if self.is_reached:
            with open(fired, encoding="utf-8", errors="replace") as f:
                self.where = f.read()
        allowed = self.allowed if self.is_reached else (DONE,)
        if self.status not in allowed and not self.is_library_crash():
            raise AssertionError(f"exit status {self.status}")
        self.judge.look()

    def is_library_crash(self):
        failed, _, crash = self.where.partition("the crash:")
        # The handler, then the place.  Threads that block all signals do not get so far.
        place = "".join(crash.splitlines()[:6]) or failed
        return NOT_OURS.get(self.status, "?") in place

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
            wrong = [w for w in self.d.finish() if NSS_WORDS not in w]
            if wrong:
                raise AssertionError("; ".join(wrong))
        except AssertionError as e:
            self.d.finish()
            raise AssertionError(f"{self.faults}, {'a' if self.past else 'no'} past: {e}\n"
                                 f"{self.d.log_tail()}\n{self.where}") from e
        finally:
            self.d.remove()
        return self


class Stacks:
    """Every call stack of some scenarios fails, in the one in which it is seen first."""

    def __init__(self, faults, allowed, pasts):
        self.faults, self.allowed = faults, allowed
        self.todo = collections.deque((None, past) for past in pasts)  # None: nothing fails
        self.known = set()
        self.tries = collections.Counter()
        self.statuses = collections.Counter()
        self.wrong = []
        self.n_unmet = 0

    def trial(self, stack, past):
        more = {"FAULT_STACK": stack} if stack else {}
        return Trial({**self.faults, **more}, self.allowed, past).run()

    def take(self, stack, past, trial):
        for new in trial.stacks:
            if new not in self.known:
                self.known.add(new)
                self.todo.append((new, past))
        if trial.is_reached:
            self.statuses[trial.status] += 1
        elif stack:
            self.tries[stack] += 1
            if self.tries[stack] < TRIES:
                self.todo.append((stack, past))
            else:
                self.n_unmet += 1

    def run(self):
        running = {}
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            while self.todo or running:
                while self.todo and len(running) < AT_ONCE:
                    what = self.todo.popleft()
                    running[pool.submit(self.trial, *what)] = what
                for done in concurrent.futures.wait(
                        running, return_when=concurrent.futures.FIRST_COMPLETED).done:
                    what = running.pop(done)
                    try:
                        self.take(*what, done.result())
                    except AssertionError as e:
                        print(f"\n{e}", flush=True)
                        self.wrong.append(str(e))


def when(faults):
    return "from then on" if "FAULT_LASTS" in faults else "once"


def told(statuses):
    return ", ".join(f"{n} times {status}" for status, n in sorted(statuses.items()))


class Nth(FaultCase):
    def setUp(self):
        self.need_shim()

    def past(self):
        folder = tempfile.mkdtemp(prefix="aw-")
        self.addCleanup(shutil.rmtree, folder)
        return Past(folder, self.web().url("").rstrip("/"))

    @staticmethod
    def numbers():
        n = 1
        while True:
            yield n
            n += max(1, n * GROWTH // 100)

    def all(self, what, allowed, past=None, **more):
        """n = 1, 2, ... until nothing fails any more."""
        faults = {"FAULT_FAIL": what, **more}
        statuses = collections.Counter()
        numbers = self.numbers()
        last = 0
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            while last == 0:
                batch = [next(numbers) for _ in range(AT_ONCE)]
                trials = [pool.submit(Trial({**faults, "FAULT_AT": str(n)}, allowed, past).run)
                          for n in batch]
                for n, trial in zip(batch, [t.result() for t in trials]):
                    if not trial.is_reached:
                        last = n  # what was tried beside it, further on, is not of the count
                        break
                    statuses[trial.status] += 1
        print(f"\n{what}, {when(faults)}: {sum(statuses.values())} of {last - 1} tried; "
              f"exit status {told(statuses)}", flush=True)
        self.assertGreater(sum(statuses.values()), 0, "nothing failed")

    def stacks(self, what, allowed, past, **more):
        faults = {"FAULT_FAIL": what, **more}
        s = Stacks(faults, allowed, (None, past))
        s.run()
        print(f"\n{what}, {when(faults)}: {sum(s.statuses.values())} of {len(s.known)} call stacks "
              f"tried, {s.n_unmet} did not come again; exit status {told(s.statuses)}", flush=True)
        self.assertEqual(len(s.wrong), 0, "trials failed")
        self.assertGreater(sum(s.statuses.values()), 0, "nothing failed")

    def memory(self, what, allowed, **more):
        past = self.past()
        if STACKS:
            self.stacks(what, allowed, past, **more)
        else:  # one scenario each
            self.all(what, allowed, past if "FAULT_LASTS" in more else None, **more)

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
        self.memory("sqlite-memory", (DONE, IO, NO_MEMORY))

    def test_memory_of_sqlite_for_ever(self):
        self.memory("sqlite-memory", (DONE, IO, NO_MEMORY), FAULT_LASTS="1")

    def test_memory(self):
        self.memory("memory", (DONE, FAILED, IO, NO_MEMORY, SETTINGS))

    def test_memory_for_ever(self):
        self.memory("memory", (DONE, FAILED, IO, NO_MEMORY, SETTINGS), FAULT_LASTS="1")


if __name__ == "__main__":
    main()
