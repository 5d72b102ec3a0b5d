#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A database that is damaged, cut short, empty, foreign, newer or gone: refused, and left as it is.

Each must be told by its exit status, with words that say what to do, nothing in
the directory may change by a byte, and never does the daemon begin without jobs.
TRUNCATIONS (10; long: 200) lengths and DAMAGES (10; long: 200) places are drawn by lot.
"""
import os
import random
import shutil
import sqlite3
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
from rig import FaultCase, how_often
from awaitd_test import SEED, main

TRUNCATIONS = how_often("TRUNCATIONS", 10, 200)
DAMAGES = how_often("DAMAGES", 10, 200)
DATABASE = "awaitd.db"
LOG = DATABASE + "-wal"
DAMAGED, NEWER = 65, 78
COPY = "copy in its place"  # what the message must advise
PAGE = 4096


def tree(folder):
    """Everything in the directory: name -> bytes, or what else it is."""
    found = {}
    for entry in os.scandir(folder):
        if entry.is_symlink():
            found[entry.name] = os.readlink(entry.path)
        elif entry.is_file():
            with open(entry.path, "rb") as f:
                found[entry.name] = f.read()
        else:
            found[entry.name] = "folder"
    return found


class BadFiles(FaultCase):
    def setUp(self):
        self.d = self.daemon()
        self.database = os.path.join(self.d.state, DATABASE)
        self.fill()
        self.d.kill9()
        self.d.check_supervisors_gone()
        self.crashed = self.keep("crashed")
        self.d.start()
        self.d.stop()
        self.clean = self.keep("clean")

    def fill(self):
        with self.d.client() as c:
            for n in range(5):
                c.call("job.submit_many", {"jobs": [
                    {"kind": "timer", "sleep": 0, "delay": 86400, "value": "x" * 300}] * 200})
            c.wait_one(c.submit("timer", sleep=0)["id"])

    def keep(self, name):
        kept = os.path.join(self.d.dir, name)
        shutil.copytree(self.d.state, kept)
        return kept

    def put(self, kept):
        shutil.rmtree(self.d.state)
        shutil.copytree(kept, self.d.state)

    def write(self, data):
        with open(self.database, "wb") as f:
            f.write(data)

    def size(self):
        return os.path.getsize(self.database)

    def execute(self, sql):
        """As somebody else's program would, with the log brought home."""
        db = sqlite3.connect(self.database)
        db.executescript(sql)
        db.close()

    def refused(self, status, *words):
        """The start, and the examination, end in @status with @words, and change nothing."""
        before = tree(self.d.state)
        for option in ([], ["--check"]):
            log = len(self.d.log())
            self.d.spawn(*option)
            self.assertEqual(self.d.wait_exit(), status, self.d.log()[log:])
            said = self.d.log()[log:]
            for word in words:
                self.assertIn(word, said)
            after = tree(self.d.state)
            if after.get(LOG) == b"":
                before.setdefault(LOG, b"")  # SQLite makes it to read the database at all
            self.assertEqual(after.keys(), before.keys())
            for name, data in after.items():
                self.assertTrue(data == before[name], f"{name} was changed; {said}")

    def nothing_is_missing(self):
        self.d.start()
        with self.d.client() as c:
            self.assertEqual(len(c.list_all()), 1001)
        self.d.stop()

    def both(self):
        """After an orderly stop, and after a crash."""
        for kept in (self.clean, self.crashed):
            self.put(kept)
            yield kept

    def test_sound(self):
        """So that the others prove something."""
        for _ in self.both():
            self.nothing_is_missing()

    def test_empty(self):
        for _ in self.both():
            self.write(b"")
            self.refused(DAMAGED, "empty", COPY, "--init")

    def test_text(self):
        for _ in self.both():
            self.write(b"To whom it may concern\n" * 1000)
            self.refused(DAMAGED, COPY)

    def test_zeroed(self):
        for _ in self.both():
            self.write(bytes(self.size()))
            self.refused(DAMAGED, COPY)

    def test_header_zeroed(self):
        for _ in self.both():
            with open(self.database, "r+b") as f:
                f.write(bytes(100))
            self.refused(DAMAGED, COPY)

    def test_foreign(self):
        for _ in self.both():
            os.unlink(self.database)
            if os.path.exists(self.database + "-wal"):
                os.unlink(self.database + "-wal")
            self.execute("CREATE TABLE job (id INTEGER PRIMARY KEY); PRAGMA user_version = 1;")
            self.refused(DAMAGED, COPY)

    def test_newer(self):
        for _ in self.both():
            self.execute("PRAGMA user_version = 999;")
            self.refused(NEWER, "newer awaitd", "install")

    def test_no_version(self):
        for _ in self.both():
            self.execute("PRAGMA user_version = 0;")
            self.refused(DAMAGED, COPY)

    def test_gone(self):
        """A database that was there: something of it is left."""
        for trace in ("-wal", ".reserve", ".v1.bak", "-journal"):
            with self.subTest(trace):
                self.put(self.clean)
                os.unlink(self.database)
                with open(self.database + trace, "wb") as f:
                    f.write(b"x" * 1000)
                before = tree(self.d.state)
                self.d.spawn()
                self.assertEqual(self.d.wait_exit(), DAMAGED)
                self.assertIn("missing", self.d.log_tail(1))
                self.assertIn("--init", self.d.log_tail(1))
                self.assertEqual(tree(self.d.state), before)

    def test_a_folder_or_a_link(self):
        self.put(self.clean)
        os.rename(self.database, os.path.join(self.d.home, "elsewhere"))
        os.symlink(os.path.join(self.d.home, "elsewhere"), self.database)
        self.refused(DAMAGED, "not a regular file")
        os.unlink(self.database)
        os.mkdir(self.database)
        self.refused(DAMAGED, "not a regular file")

    def is_whole(self):
        """Does SQLite itself, in a copy, miss nothing?  The log may have all that was cut off."""
        copy = os.path.join(self.d.dir, "looked at")
        shutil.copytree(self.d.state, copy)
        db = sqlite3.connect(os.path.join(copy, DATABASE))
        try:
            return db.execute("PRAGMA quick_check").fetchall() == [("ok",)]
        except sqlite3.DatabaseError:
            return False
        finally:
            db.close()
            shutil.rmtree(copy)

    def test_truncated(self):
        """Not even after an orderly stop, when nothing else would look."""
        chance = random.Random(f"{SEED} truncated")
        for _ in range(TRUNCATIONS):
            for kept in self.both():
                size = self.size()
                left = chance.choice((chance.randint(1, size - 1), chance.randint(1, 3 * PAGE),
                                      chance.randint(1, size // PAGE - 1) * PAGE))
                os.truncate(self.database, left)
                with self.subTest(f"{left} of {size} bytes, {kept}"):
                    if self.is_whole():
                        self.nothing_is_missing()
                    else:
                        self.refused(DAMAGED, COPY)

    def test_truncated_before_its_log(self):
        """A cut that the log makes good: SQLite writes all of the file anew from it."""
        self.put(self.crashed)
        os.truncate(self.database, self.size() - PAGE)
        self.assertTrue(self.is_whole())
        self.nothing_is_missing()

    def test_damaged(self):
        """Pages of rubbish, after a crash: "quick_check" finds what it can find."""
        chance = random.Random(f"{SEED} damaged")
        for _ in range(DAMAGES):
            self.put(self.crashed)
            self.d.start()  # the log goes into the file ...
            self.d.stop()
            self.execute("UPDATE meta SET value = 0 WHERE key = 'clean'")  # as after a crash
            pages = self.pages()
            page = chance.choice(pages)
            with open(self.database, "r+b") as f:
                f.seek((page - 1) * PAGE)
                f.write(chance.randbytes(PAGE))
            with self.subTest(f"page {page}"):
                self.refused(DAMAGED, COPY)

    def pages(self):
        """All that are part of a tree: what else is in a page SQLite cannot judge."""
        db = sqlite3.connect(self.database)
        roots = [row[0] for row in db.execute(
            "SELECT rootpage FROM sqlite_schema WHERE rootpage > 1")]
        db.close()
        return roots


if __name__ == "__main__":
    main()
