#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The judge is judged: each kind of loss and lie that it is there for, made by hand, must convict.

One life of a sound daemon gives a database, a client's book and a workers' journal, of
which the judge has nothing to say.  Then one thing at a time is changed in copies of them.
Most must be found without the help of "awaitd --check", which is not asked there: it
is the daemon's own word.  What only that can know, like events, is asked of it.
"""
import contextlib
import json
import os
import shutil
import sqlite3
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
from client import Book, worker_document
from rig import CONFIG, FaultCase
from awaitd_test import main
import judge

# What is changed in the database, by the jobs' names, and a word of the verdict.
DATABASE_LIES = (
    ("DELETE FROM doc WHERE job = :timer; DELETE FROM ending WHERE job = :timer;"
     "DELETE FROM attempt WHERE job = :timer; DELETE FROM job WHERE id = :timer", "lost"),
    ("UPDATE job SET name = 'timer' WHERE id = :waits; UPDATE job SET name = 'waits'"
     " WHERE id = :timer", "timer"),
    ("UPDATE job SET outcome = 'failed' WHERE id = :timer", "told that job"),
    ("UPDATE job SET ended = ended + 1 WHERE id = :timer", "told that job"),
    ("UPDATE job SET attempt = 2 WHERE id = :timer", "told that job"),
    ("UPDATE job SET state = 'waiting', outcome = NULL, ended = NULL WHERE id = :timer",
     "told that job"),
    ("UPDATE job SET kind = 'fetch' WHERE id = :waits", "not what was sent"),
    ("UPDATE job SET name = 'stranger' WHERE id = :waits", "never sent"),
    ("UPDATE job SET name = 'timer' WHERE id = :waits", "is there as job"),
    ("UPDATE job SET state = 'waiting', outcome = NULL, ended = NULL WHERE id = :cancelled",
     "was cancelled and is waiting"),
    ("UPDATE job SET outcome = 'succeeded' WHERE id = :cancelled",
     "was cancelled and succeeded"),
    ("DELETE FROM attempt WHERE job = :once", "knows nothing of it"),
    ("UPDATE job SET attempt = 2 WHERE id = :once", "may run once"),
    ("UPDATE ending SET result = NULL WHERE job = :once", "has no result"),
    ("UPDATE attempt SET outcome = 'failed' WHERE job = :again;"
     "INSERT INTO attempt (job, attempt, started, ended, outcome)"
     " SELECT job, 2, started, ended, 'succeeded' FROM attempt WHERE job = :again",
     "has no result"),
    ("INSERT INTO attempt (job, attempt, started, ended, outcome)"
     " SELECT job, 2, started, ended, outcome FROM attempt WHERE job = :again",
     "the one before it"),
    ("UPDATE job SET outcome = 'failed' WHERE id = :needed", "which it needs"),
    ("DELETE FROM job WHERE parent = :tree AND part = 1", "parts of 2"),
    ("UPDATE job SET state = 'waiting', outcome = NULL, ended = NULL"
     " WHERE parent = :tree AND part = 1", "done before its parts"),
)
# The same for what only "awaitd --check" can know.
CHECK_LIES = (
    ("DELETE FROM event WHERE job = :timer AND state = 'running'", "events that are missing"),
    ("DELETE FROM event WHERE job = :timer AND state = 'done'", "last event"),
    ("DELETE FROM event", "last event"),
    ("UPDATE doc SET spec = replace(spec, 'timer', 'Timer') WHERE job = :timer", "checksum"),
    ("DELETE FROM submit_key WHERE job = :waits", "their key again"),
)


class JudgeTest(FaultCase):
    def setUp(self):
        self.d = self.daemon(config=CONFIG)
        self.journal = os.path.join(self.d.home, "journal")
        self.book_path = os.path.join(self.d.home, "book")
        self.book = Book(self.book_path)
        self.ids = {}
        with self.d.client() as c:
            self.live(c)
        self.book.sync()
        self.assertEqual(self.d.stop(), 0)
        self.check_sound = judge.check_sound
        self.addCleanup(setattr, judge, "check_sound", self.check_sound)

    # ---- a life without faults ----

    def submit(self, c, name, document):
        document["name"] = name
        self.book.note("sent", name=name, document=document)
        self.ids[name] = c.call("job.submit", document)["id"]
        self.book.note("acknowledged", name=name, id=self.ids[name], existing=False)
        return self.ids[name]

    def see_end(self, c, name):
        job = c.wait_one(self.ids[name])
        self.book.note("ended", id=job["id"], outcome=job["outcome"], attempt=job["attempt"],
                       ended_at=job["ended_at"])

    def live(self, c):
        timer = {"kind": "timer", "sleep": 0}
        needed = self.submit(c, "needed", dict(timer))
        self.submit(c, "timer", dict(timer))
        self.submit(c, "needs", {**timer, "needs": [{"job": needed, "on": "success"}]})
        self.submit(c, "tree", {"kind": "gather", "jobs": [timer, timer]})
        for name, on_lost in (("once", "fail"), ("again", "retry")):
            self.submit(c, name, worker_document(self.journal, self.d.mark, on_lost=on_lost))
        for name in ("timer", "tree", "once", "again", "needs"):
            self.see_end(c, name)
        self.submit(c, "waits", {**timer, "delay": 86400, "key": "k"})
        number = self.submit(c, "cancelled", {**timer, "delay": 86400})
        c.call("job.cancel", {"ids": [number]})
        self.book.note("cancelled", id=number)

    # ---- what is made of it ----

    def copies(self):
        """State, book and journal, to be changed; gives their paths."""
        folder = os.path.join(self.d.dir, "copy")
        shutil.rmtree(folder, ignore_errors=True)
        os.mkdir(folder)
        state, book, journal = (os.path.join(folder, name) for name in ("s", "book", "journal"))
        judge.copy_database(self.d.state, state)
        shutil.copyfile(self.book_path, book)
        shutil.copyfile(self.journal, journal)
        return state, book, journal

    def execute(self, state, sql):
        with contextlib.closing(sqlite3.connect(os.path.join(state, judge.DATABASE))) as db:
            n = 0
            for statement in filter(str.strip, sql.split(";")):
                n += db.execute(statement, self.ids).rowcount
            db.commit()
        self.assertGreater(n, 0, f"nothing was changed by {sql}")

    def append(self, path, line):
        with open(path, "a", encoding="ascii") as f:
            f.write(line + "\n")

    def without_check(self):
        judge.check_sound = lambda state: None

    def convict(self, paths, words, look=judge.Judge.look):
        state, book, journal = paths
        with self.assertRaises(judge.Verdict) as caught:
            look(judge.Judge(state, [book], journal))
        self.assertIn(words, str(caught.exception))

    def test_the_innocent(self):
        state, book, journal = self.copies()
        j = judge.Judge(state, [book], journal)
        j.look()
        j.look(is_last=True)
        self.assertEqual(j.open, {self.ids["waits"]})
        self.assertEqual(len(j.acknowledged.all), len(self.ids))
        self.assertEqual(len(j.starts.all), 2)
        self.assertEqual(len(j.told.all), 5)

    def test_the_database_lies(self):
        self.without_check()
        for sql, words in DATABASE_LIES:
            with self.subTest(sql):
                paths = self.copies()
                self.execute(paths[0], sql)
                self.convict(paths, words)

    def test_what_the_check_is_needed_for(self):
        for sql, words in CHECK_LIES:
            with self.subTest(sql):
                paths = self.copies()
                self.execute(paths[0], sql)
                self.convict(paths, words)

    def test_it_changes_between_two_looks(self):
        """Nobody was told of this end; but an earlier look saw it."""
        self.without_check()
        for sql, words in (
                ("UPDATE job SET outcome = 'failed' WHERE id = :needed", "was done"),
                ("UPDATE job SET state = 'waiting', outcome = NULL, ended = NULL"
                 " WHERE id = :needed", "was done and is waiting again")):
            with self.subTest(sql):
                state, book, journal = self.copies()
                j = judge.Judge(state, [book], journal)
                j.look()
                self.execute(state, sql)
                self.convict((state, book, journal), words, lambda _: j.look(is_last=True))

    def test_the_database_is_gone(self):
        paths = self.copies()
        shutil.rmtree(paths[0])
        os.mkdir(paths[0])
        self.convict(paths, "the database is gone")

    def test_a_worker_started_twice(self):
        paths = self.copies()
        self.append(paths[2], f"{self.ids['once']} 1 99999 start")
        self.convict(paths, "started twice")

    def test_a_worker_nobody_knows_of(self):
        paths = self.copies()
        self.append(paths[2], f"{self.ids['again']} 2 99999 start")
        self.convict(paths, "knows nothing of it")

    def test_a_worker_that_never_ran(self):
        self.without_check()
        state, book, journal = self.copies()
        self.execute(state, "DELETE FROM job WHERE id = :waits")
        self.without(book, "waits")
        with open(journal, "w", encoding="ascii"):
            pass
        self.convict((state, book, journal), "never ran", judge.Judge.close)

    def without(self, book, name):
        """As if nobody had ever asked for this one."""
        with open(book, encoding="ascii") as f:
            facts = [json.loads(line) for line in f]
        with open(book, "w", encoding="ascii") as f:
            f.writelines(json.dumps(fact) + "\n" for fact in facts if fact.get("name") != name)

    def test_one_that_never_ends(self):
        self.convict(self.copies(), "not done in the end", judge.Judge.close)

    def test_a_timer_is_not_lost(self):
        self.without_check()
        state, book, journal = self.copies()
        self.execute(state, "DELETE FROM job WHERE id = :waits;"
                     "UPDATE job SET outcome = 'lost' WHERE id = :needed;"
                     "DELETE FROM job WHERE id = :needs")
        for name in ("waits", "needs"):
            self.without(book, name)
        with open(book, encoding="ascii") as f:
            lines = [line for line in f if f'"id":{self.ids["needs"]},' not in line]
        with open(book, "w", encoding="ascii") as f:
            f.writelines(line for line in lines if f'"id": {self.ids["needs"]},' not in line)
        self.convict((state, book, journal), "nothing cuts one off", judge.Judge.close)

    def test_one_name_two_jobs(self):
        paths = self.copies()
        self.append(paths[1], json.dumps({"is": "acknowledged", "name": "timer",
                                          "id": self.ids["waits"], "existing": True}))
        self.convict(paths, "was acknowledged as job")

    def test_a_job_that_never_was(self):
        paths = self.copies()
        self.append(paths[1], json.dumps({"is": "sent", "name": "x", "document":
                                          {"kind": "timer", "sleep": 0}}))
        self.append(paths[1], json.dumps({"is": "acknowledged", "name": "x", "id": 1000,
                                          "existing": False}))
        self.convict(paths, "acknowledged jobs are lost")


if __name__ == "__main__":
    main()
