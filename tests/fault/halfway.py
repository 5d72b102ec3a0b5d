#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""kill -9, and power cuts, in the middle of a migration and of a backup.

Before and after there is one whole database under its name: the old one, untouched, or
the new one; and a copy is whole or has not got its name yet.  HALFWAY says how often
each of the four happens (4; long: 50), JOBS how many jobs are in the database (10,000; long:
30,000).
"""
import contextlib
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
from rig import FaultCase, HERE, SHIM, how_often
from image import Image
from judge import DATABASE, check_sound
from awaitd_test import Gone, SEED, main, marked, sleep_until, wait_until

HALFWAY = how_often("HALFWAY", 4, 50)
JOBS = how_often("JOBS", 10000, 30000)
FIXTURE = os.path.join(HERE, "..", "unit", "store_migrate.c")
APPLICATION_ID = "PRAGMA application_id"
SYNC_US = "300"


def old_schema():
    """Version 1 as the unit test has it: the string literals of its fixture."""
    with open(FIXTURE, encoding="ascii") as f:
        text = re.search(r"schema_1\[\] =\n(.*?);\n\n", f.read(), re.S).group(1)
    return "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', text))


def query(path, sql):
    with contextlib.closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


def facts(path):
    """Version, soundness, and the jobs with their documents, of a file that nobody uses."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        return (db.execute("PRAGMA user_version").fetchone()[0],
                db.execute("PRAGMA integrity_check").fetchone()[0],
                db.execute("SELECT count(*), sum(id), sum(hash % 1000), sum(length(spec)) FROM"
                           " job JOIN doc ON doc.job = id").fetchone())


def copy_folder(source, to):
    """Its files; a database is looked at in a copy, as a look may write to it."""
    shutil.rmtree(to, ignore_errors=True)
    os.makedirs(to, mode=0o700)
    for entry in os.scandir(source):
        if entry.is_file():
            shutil.copyfile(entry.path, os.path.join(to, entry.name))


class Halfway(FaultCase):
    def setUp(self):
        self.need_shim()
        self.d = self.daemon(start=False, config="[daemon]\nlog_level = notice\n")
        self.database = os.path.join(self.d.state, DATABASE)
        self.scratch = os.path.join(self.d.dir, "scratch")
        self.log = os.path.join(self.d.dir, "changes")

    # ---- the fault ----

    def kill(self):
        self.d.process.kill()
        self.d.wait_exit()
        wait_until(lambda: not marked(self.d.mark), 15, "nothing of the daemon is left")

    def shim(self, folder, **more):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.log)
        return {"LD_PRELOAD": SHIM, "FAULT_DIR": folder, "FAULT_LOG": self.log,
                "FAULT_SYNC_US": SYNC_US, **more}

    def count_changes(self, folder_before):
        folder_before.replay(self.log)
        folder_before.check()
        return folder_before.n_records

    # ---- migration ----

    def make_old(self):
        """A large database of version 1; its rows are true copies of one of today's."""
        self.d.start()
        with self.d.client() as c:
            c.submit("timer", sleep=0, delay=86400 * 30, value="x" * 300)
        self.d.stop()
        job = dict(zip(("kind", "uid", "gid", "submitted", "due", "hash", "spec"), query(
            self.database, "SELECT kind, uid, gid, submitted, due, hash, spec"
            " FROM job JOIN doc ON doc.job = id")[0]))
        number = query(self.database, APPLICATION_ID)[0][0]
        shutil.rmtree(self.d.state)
        os.mkdir(self.d.state, 0o700)
        with contextlib.closing(sqlite3.connect(self.database)) as db:
            db.executescript(f"PRAGMA page_size = 4096; {APPLICATION_ID} = {number};"
                             "PRAGMA journal_mode = WAL; PRAGMA user_version = 1;"
                             + old_schema())
            db.execute("INSERT INTO meta VALUES ('next_id', ?1), ('next_seq', ?1), ('clean', 1)",
                       (JOBS + 1,))
            db.execute("INSERT INTO boot VALUES (1, 'another boot')")
            db.executemany("INSERT INTO count VALUES (?, ?)", [
                (what, JOBS if what == "waiting" else 0) for what in (
                    "waiting", "running", "stopping", "done", "succeeded", "failed", "timed_out",
                    "cancelled", "skipped", "lost")])
            db.executemany(
                "INSERT INTO job (id, kind, state, priority, uid, gid, submitted, submit_seq, due,"
                " attempt, has_key, hash)"
                " VALUES (?1, :kind, 'waiting', 0, :uid, :gid, :submitted, ?1, :due, 0, 0, :hash)"
                .replace("?1", ":id"), ({**job, "id": n} for n in range(1, JOBS + 1)))
            db.executemany("INSERT INTO doc (job, spec) VALUES (?, ?)",
                           ((n, job["spec"]) for n in range(1, JOBS + 1)))
            db.commit()
        self.old = os.path.join(self.d.dir, "old")
        copy_folder(self.d.state, self.old)
        with open(os.path.join(self.old, DATABASE), "rb") as f:
            self.old_bytes = f.read()
        copy_folder(self.old, self.scratch)
        self.old_facts = facts(os.path.join(self.scratch, DATABASE))
        self.assertEqual(self.old_facts[:2], (1, "ok"))

    def judge_migration(self):
        """Gives the version that is there."""
        copy_folder(self.d.state, self.scratch)
        version, verdict, jobs = facts(os.path.join(self.scratch, DATABASE))
        self.assertEqual((verdict, jobs), self.old_facts[1:])
        backup = os.path.join(self.scratch, DATABASE + ".v1.bak")
        if version == 1:
            with open(self.database, "rb") as f:
                self.assertTrue(f.read() == self.old_bytes, "the old database was changed")
        else:
            self.assertTrue(os.path.exists(backup), "no copy of the old database was kept")
        if os.path.exists(backup):
            self.assertEqual(facts(backup), self.old_facts)
            os.unlink(backup)
        check_sound(self.scratch)
        return version

    def go_on(self):
        """The next start brings it to its end."""
        self.d.start()
        with self.d.client() as c:
            self.assertEqual(c.call("daemon.stats")["jobs"]["states"]["waiting"], JOBS)
        self.assertEqual(self.d.stop(), 0)
        self.assertGreater(self.judge_migration(), 1)

    def put_old(self):
        copy_folder(self.old, self.d.state)

    def tell(self, what, versions):
        print(f"\n{what}: {len(versions)} times, then the old database {versions.count(1)} times, "
              f"the new one {len(versions) - versions.count(1)} times", flush=True)

    def test_kill_in_migration(self):
        chance = random.Random(f"{SEED} migration")
        self.make_old()
        self.put_old()
        whole = self.d.start()
        self.d.stop()
        versions = []
        for _ in range(HALFWAY):
            self.put_old()
            began = time.monotonic()
            self.d.spawn()
            sleep_until(began + chance.uniform(0, whole))
            self.kill()
            versions.append(self.judge_migration())
            self.go_on()
        self.tell("kill -9 in a migration", versions)

    def test_cut_in_migration(self):
        chance = random.Random(f"{SEED} migration cut")
        self.make_old()
        self.put_old()
        image = Image(self.d.state)
        self.d.start(env=self.shim(self.d.state))
        self.kill()
        n = self.count_changes(image)
        versions = []
        for _ in range(HALFWAY):
            self.put_old()
            image = Image(self.d.state)
            self.d.spawn(env=self.shim(self.d.state, FAULT_CUT=str(chance.randint(1, n))))
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.d.process.wait(10)
            self.kill()
            self.count_changes(image)
            image.put(image.mixed(chance) if chance.randrange(2) else image.strict())
            versions.append(self.judge_migration())
            self.go_on()
        self.tell("a power cut in a migration", versions)

    # ---- backup ----

    def start_backup(self, **keys):
        """A daemon with many jobs, asked for a copy; gives the client that waits for it."""
        self.d.start(**keys)
        c = self.client(self.d)
        c.request("daemon.backup", {"path": self.copy, "overwrite": True})
        return c

    def fill(self):
        self.copies = os.path.join(self.d.home, "copies")
        self.copy = os.path.join(self.copies, "copy.db")
        os.mkdir(self.copies)
        self.d.start()
        with self.d.client() as c:
            for _ in range(JOBS // 1000):
                c.call("job.submit_many", {"jobs": [
                    {"kind": "timer", "sleep": 0, "delay": 86400, "value": "x" * 300}] * 1000})
        self.d.stop()
        self.whole = facts(self.database)

    def judge_backup(self, earlier):
        """Gives "none", "old" or "new", whatever has the name; and the store is sound."""
        copy_folder(self.copies, self.scratch)
        path = os.path.join(self.scratch, "copy.db")
        what = "none"
        if os.path.exists(path):
            with open(path, "rb") as f:
                what = "old" if f.read() == earlier else "new"
        if what == "new":
            self.assertEqual(facts(path), self.whole)
        self.assertTrue(earlier is None or what != "none", "the old copy is gone")
        copy_folder(self.d.state, self.scratch)
        check_sound(self.scratch)
        return what

    def next_backup(self):
        """What is left of the last one is in nobody's way."""
        c = self.start_backup()
        c.reply(c.next_id)
        self.d.stop()
        self.assertEqual(facts(self.copy), self.whole)
        self.assertEqual(os.listdir(self.copies), ["copy.db"])

    def put_earlier(self, chance):
        """There is nothing under the name, or something else."""
        earlier = b"what was there before" if chance.randrange(2) else None
        shutil.rmtree(self.copies)
        os.mkdir(self.copies)
        if earlier:
            with open(self.copy, "wb") as f:
                f.write(earlier)
        return earlier

    def tell_backups(self, what, seen):
        print(f"\n{what}: {len(seen)} times, then under its name " + ", ".join(
            f"{word} {seen.count(word)} times" for word in ("none", "old", "new")), flush=True)

    def test_kill_in_backup(self):
        chance = random.Random(f"{SEED} backup")
        self.fill()
        c = self.start_backup()
        began = time.monotonic()
        c.reply(c.next_id)
        seconds = time.monotonic() - began
        self.d.stop()
        seen = []
        for _ in range(HALFWAY):
            earlier = self.put_earlier(chance)
            self.start_backup()
            sleep_until(time.monotonic() + chance.uniform(0, 1.5 * seconds))
            self.kill()
            seen.append(self.judge_backup(earlier))
            self.next_backup()
        self.tell_backups("kill -9 in a backup", seen)

    def test_cut_in_backup(self):
        chance = random.Random(f"{SEED} backup cut")
        self.fill()
        image = Image(self.copies)
        c = self.start_backup(env=self.shim(self.copies))
        c.reply(c.next_id)
        self.kill()
        n = self.count_changes(image)
        seen = []
        for _ in range(HALFWAY):
            earlier = self.put_earlier(chance)
            image = Image(self.copies)
            # The last changes are the interesting ones: sync, rename, sync; or none is cut.
            at = chance.choice((0, n - chance.randrange(n), n - chance.randrange(-5, 5)))
            c = self.start_backup(env=self.shim(self.copies, FAULT_CUT=str(at)))
            is_told = False
            with contextlib.suppress(Gone):
                c.reply(c.next_id)
                is_told = True
            self.kill()
            self.count_changes(image)
            image.put(image.mixed(chance) if chance.randrange(2) else image.strict())
            seen.append(self.judge_backup(earlier))
            self.assertTrue(not is_told or seen[-1] == "new", "an acknowledged copy is gone")
            self.next_backup()
        self.tell_backups("a power cut in a backup", seen)


if __name__ == "__main__":
    main()
