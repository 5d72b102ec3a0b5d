# SPDX-License-Identifier: MIT
"""The judge of the fault tests.  It never asks the daemon.

It reads what the clients wrote down (client.py), what the workers wrote down
themselves, and, while no daemon runs, a copy of the database.  After each
fault only what is new is compared, and all of it once in the end, so that a
long run costs as much per round as a short one.

What must hold:
  - whatever was acknowledged is there, under the id and with the kind that were told
  - nothing is there twice, and nothing that was never sent
  - what was done, as a client or an earlier look saw it, is the same for ever
  - a cancel that was acknowledged is never forgotten
  - no attempt of a worker starts twice; with on_lost fail there is one attempt
  - whatever has started is known, and an attempt after it only when it did not succeed
  - how a program ended is known of every attempt, and with the job's end as its result
  - whatever has started found done what it needs
  - a composition that was acknowledged has all its parts, and ends after them
  - SQLite and "awaitd --check" find nothing wrong
"""
import calendar
import collections
import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import time

from awaitd_test import AWAITD

DATABASE = "awaitd.db"
COMPOSITIONS = ("gather", "sequence", "race")
LEAVES_CUT_OFF = ("fetch", "worker")
AGAIN = ("failed", "timed_out", "lost")  # outcomes of an attempt after which another may come


def parse_ms(text):
    """A time of the interface as milliseconds."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) * 1000 + int(fraction)


class Verdict(AssertionError):
    """Something that was promised does not hold.  Said at once: a long run may last for hours."""

    def __init__(self, text):
        super().__init__(text)
        print(f"\nverdict: {text}", flush=True)


class Lost(Verdict):
    """And that is because something is gone that somebody had been told of."""

    def __init__(self, n, text):
        super().__init__(text)
        self.n = n


def copy_database(state, to):
    """The database, its log and what else belongs to it, as they lie there."""
    shutil.rmtree(to, ignore_errors=True)
    os.makedirs(to, mode=0o700)
    for name in os.listdir(state):
        path = os.path.join(state, name)
        if name.startswith(DATABASE) and os.path.isfile(path):
            shutil.copyfile(path, os.path.join(to, name))


def check_sound(state):
    """The judgement of SQLite and of "awaitd --check" about a directory that nobody uses."""
    p = subprocess.run([AWAITD, "--user", "--check", "--state-dir", state],
                       env={"PATH": os.environ["PATH"], "HOME": state, "LANG": "C.UTF-8"},
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True)
    if p.returncode != 0:
        raise Verdict(f"awaitd --check ended with status {p.returncode}: {p.stdout}")


def runs_once(document):
    return document.get("on_lost") == "fail" and "retry" not in document


def meets(condition, outcome):
    """Does the end of a job fulfil what another one needs?"""
    if condition == "success":
        return outcome == "succeeded"
    return outcome is not None and (condition == "done" or outcome != "succeeded")


def has_column(db, table, column):
    return any(row[1] == column for row in db.execute(f"PRAGMA table_info({table})"))


class Lines:
    """A file that others append to: the whole lines that came since the last look."""

    def __init__(self, path):
        self.path, self.at = path, 0

    def new(self):
        try:
            with open(self.path, "rb") as f:
                f.seek(self.at)
                data = f.read()
        except FileNotFoundError:
            return []
        data = data[:data.rfind(b"\n") + 1]
        self.at += len(data)
        return data.decode().splitlines()


class Facts:
    """What somebody wrote down: all of it, and what no look has compared yet."""

    def __init__(self):
        self.all, self.fresh = {}, {}

    def add(self, key, value):
        self.fresh[key] = self.all[key] = value

    def due(self, is_last):
        due, self.fresh = (self.all if is_last else self.fresh), {}
        return due.items()


class Judge:
    def __init__(self, state, books, journal):
        self.state = state            # the daemon's state directory
        self.books = [Lines(b) for b in books]
        self.journal = Lines(journal)
        self.sent = {}                # name -> document
        self.acknowledged = Facts()   # name -> id
        self.told = Facts()           # id -> (outcome, attempt, ended in ms) as a client saw it
        self.starts = Facts()         # (id, attempt) -> pid
        self.cancelled = set()        # ids whose cancel was acknowledged
        self.refused = collections.Counter()
        self.names = {}               # name -> id, of all rows ever seen
        self.done = {}                # id -> (outcome, attempt, ended) as a look saw it
        self.open = set()             # ids that were not done at the last look
        self.last_id = 0

    # ---- what others wrote ----

    def read_books(self):
        """Take in the new facts; gives the ids that they are about."""
        ids = set()
        for fact in (json.loads(line) for book in self.books for line in book.new()):
            what = fact["is"]
            if what == "sent":
                self.sent[fact["name"]] = fact["document"]
                continue
            if what == "acknowledged":
                self.take_acknowledgement(fact["name"], fact["id"])
            elif what == "refused":
                self.refused[fact["what"], fact["word"]] += 1
            elif what == "cancelled":
                self.cancelled.add(fact["id"])
            elif what == "ended":
                self.told.add(fact["id"],
                              (fact["outcome"], fact["attempt"], parse_ms(fact["ended_at"])))
            if fact["id"] is not None:
                ids.add(fact["id"])
        return ids

    def take_acknowledgement(self, name, number):
        before = self.acknowledged.all.get(name, number)
        if before != number:
            raise Verdict(f"{name} was acknowledged as job {before} and as job {number}")
        self.acknowledged.add(name, number)

    def read_journal(self):
        """The same for what the workers wrote."""
        ids = set()
        for line in self.journal.new():
            number, attempt, pid, what = line.split()
            key = (int(number), int(attempt))
            ids.add(key[0])
            if what != "start":
                continue
            if key in self.starts.all:
                raise Verdict(f"attempt {attempt} of job {number} started twice, as process "
                              f"{self.starts.all[key]} and as {pid}")
            self.starts.add(key, pid)
        return ids

    # ---- the database ----

    def look(self, is_last=False):
        """Compare what is new, or all of it.  No daemon may run meanwhile."""
        touched = self.read_books() | self.read_journal()
        where = self.state.rstrip("/") + ".judge"
        if not os.path.exists(os.path.join(self.state, DATABASE)):
            if self.acknowledged.all or self.names:
                raise Lost(len(self.names), "the database is gone")
            return  # the fault came before there was one
        copy_database(self.state, where)
        try:
            check_sound(where)
            with contextlib.closing(sqlite3.connect(os.path.join(where, DATABASE))) as db:
                self.compare(db, touched, is_last)
        finally:
            shutil.rmtree(where)

    def compare(self, db, touched, is_last):
        db.row_factory = sqlite3.Row
        rows = self.rows(db, touched | self.open, is_last)
        for number in sorted(rows):  # a job needs only earlier ones
            self.compare_row(rows[number])
        self.compare_acknowledged(rows, is_last)
        self.compare_told(is_last)
        for number in self.cancelled & set(rows):
            self.compare_cancel(rows[number])
        self.compare_attempts(db, rows, is_last)
        if has_column(db, "attempt", "result"):
            self.compare_results(db)
        if has_column(db, "job", "parent"):
            self.compare_trees(db, rows)
        self.open = {n for n, row in rows.items() if row["state"] != "done"}
        self.last_id = max([self.last_id, *rows])

    def rows(self, db, touched, is_last):
        """The jobs that are new, were unfinished, or of which something new is known."""
        db.execute("CREATE TEMP TABLE wanted (id INTEGER PRIMARY KEY)")
        db.executemany("INSERT INTO wanted VALUES (?)", [(n,) for n in touched])
        db.execute("INSERT OR IGNORE INTO wanted SELECT id FROM job WHERE id > ?",
                   (0 if is_last else self.last_id,))
        parent = "parent" if has_column(db, "job", "parent") else "NULL AS parent"
        return {row["id"]: row for row in db.execute(
            f"SELECT id, kind, state, outcome, attempt, ended, name, {parent} FROM job"
            " WHERE id IN (SELECT id FROM wanted)")}

    def compare_row(self, row):
        number, name = row["id"], row["name"]
        if row["parent"] is None:
            self.compare_with_sent(row)
            if self.names.setdefault(name, number) != number:
                raise Verdict(f"{name} is there as job {self.names[name]} and as job {number}")
        if row["state"] == "done":
            end = (row["outcome"], row["attempt"], row["ended"])
            if self.done.setdefault(number, end) != end:
                raise Verdict(f"job {number} was done, {self.done[number]}, and is now {end}")
        elif number in self.done:
            raise Verdict(f"job {number} was done and is {row['state']} again")

    def compare_with_sent(self, row):
        document = self.sent.get(row["name"])
        if document is None:
            raise Verdict(f"job {row['id']}, {row['name']}, was never sent")
        if row["kind"] != document["kind"]:
            raise Verdict(f"job {row['id']} is a {row['kind']}, not what was sent")
        if runs_once(document) and row["attempt"] > 1:
            raise Verdict(f"job {row['id']} may run once and is in attempt {row['attempt']}")
        for need in document.get("needs", ()) if row["attempt"] else ():
            if not meets(need["on"], self.done.get(need["job"], (None,))[0]):
                raise Verdict(f"job {row['id']} started, and job {need['job']}, which it needs, "
                              f"is {self.done.get(need['job'])}")

    def compare_acknowledged(self, rows, is_last):
        lost = [(name, number) for name, number in self.acknowledged.due(is_last)
                if number not in rows or rows[number]["name"] != name]
        if lost:
            raise Lost(len(lost), f"{len(lost)} acknowledged jobs are lost, {lost[0][0]} (job "
                       f"{lost[0][1]}) is one")

    def compare_told(self, is_last):
        for number, end in self.told.due(is_last):
            if self.done.get(number) != end:
                raise Lost(1, f"a client was told that job {number} ended, {end}; it is "
                           f"{self.done.get(number) or 'not done'}")

    def compare_cancel(self, row):
        """One that a timeout stopped already may have been cancelled all the same."""
        document = self.sent[row["name"]]
        if row["state"] == "done":
            if row["outcome"] != "cancelled" and not (
                    row["outcome"] == "timed_out" and ("timeout" in document
                                                       or "deadline" in document)):
                raise Verdict(f"job {row['id']} was cancelled and {row['outcome']}")
        elif row["state"] != "stopping" and row["kind"] not in COMPOSITIONS:
            raise Lost(1, f"job {row['id']} was cancelled and is {row['state']}")

    def compare_attempts(self, db, rows, is_last):
        """What has started is known, and why it started again."""
        known = {(row["job"], row["attempt"]): row for row in db.execute(
            "SELECT job, attempt, ended, outcome FROM attempt"
            " WHERE job IN (SELECT id FROM wanted)")}
        for key, pid in self.starts.due(is_last):
            if key not in known:
                raise Lost(1, f"process {pid} was attempt {key[1]} of job {key[0]}, which knows "
                           "nothing of it")
        for (number, attempt), row in known.items():
            if attempt < 2:
                continue
            before = known.get((number, attempt - 1))
            if before is None or before["ended"] is None or before["outcome"] not in AGAIN:
                raise Verdict(f"job {number} has attempt {attempt}, and the one before it is "
                              + (before["outcome"] or "open" if before else "unknown"))

    def compare_results(self, db):
        """Of one that waits for its next attempt, too, and of one that has ended so."""
        for row in db.execute(
                "SELECT a.job, a.attempt FROM attempt AS a JOIN job ON id = a.job"
                " LEFT JOIN ending ON ending.job = id AND a.attempt = job.attempt"
                " WHERE a.job IN (SELECT id FROM wanted) AND kind = 'worker'"
                " AND (a.outcome = 'succeeded'"
                "  OR json_extract(coalesce(a.error, ending.error), '$.code') = 'exit')"
                " AND iif(job.outcome IS NOT NULL AND a.attempt = job.attempt, ending.result,"
                "  a.result) IS NULL"):
            raise Verdict(f"attempt {row['attempt']} of job {row['job']} has no result")

    def compare_trees(self, db, rows):
        for row in db.execute(
                "SELECT p.id FROM job AS p JOIN job AS c ON c.parent = p.id"
                " WHERE p.state = 'done' AND c.state <> 'done'"
                " AND p.id IN (SELECT id FROM wanted)"):
            raise Verdict(f"composition {row['id']} is done before its parts")
        parts = collections.Counter(row["parent"] for row in db.execute(
            "SELECT parent FROM job WHERE parent IN (SELECT id FROM wanted)"))
        for row in rows.values():
            if row["parent"] is not None or row["kind"] not in COMPOSITIONS:
                continue
            wanted = len(self.sent[row["name"]]["jobs"])
            if parts[row["id"]] != wanted:
                raise Verdict(f"composition {row['id']} has {parts[row['id']]} parts of {wanted}")

    # ---- the end ----

    def close(self):
        """After the last job has ended and the daemon has stopped: everything, once."""
        self.look(is_last=True)
        if self.open:
            told = sorted(self.open & set(self.acknowledged.all.values()))
            raise Verdict(f"not done in the end: {sorted(self.open)[:10]}, "
                          f"of which these were acknowledged: {told[:10]}")
        unknown = self.cancelled - set(self.done)
        if unknown:
            raise Verdict(f"cancelled, and not there: {sorted(unknown)[:10]}")
        self.compare_runs()

    def compare_runs(self):
        """Workers that succeeded did run; those that may run once ran once."""
        runs = collections.Counter(number for number, _ in self.starts.all)
        for name, number in self.acknowledged.all.items():
            document = self.sent[name]
            outcome = self.done[number][0]
            if document["kind"] not in LEAVES_CUT_OFF and outcome == "lost":
                raise Verdict(f"{document['kind']} {number} is lost; nothing cuts one off")
            if document["kind"] != "worker":
                continue
            if runs_once(document) and runs[number] > 1:
                raise Verdict(f"job {number} may run once and ran {runs[number]} times")
            if outcome == "succeeded" and runs[number] == 0:
                raise Verdict(f"job {number} succeeded and never ran")
