#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""History is forgotten as the settings and each job say, and directories go with their records."""
import os
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import RpcError, TestCase, main, wait_until


class History(TestCase):
    def begin(self, history=""):
        self.d = self.daemon(config=f"[history]\n{history}\n")
        self.c = self.client(self.d)

    def setting(self, history):
        self.d.write_config(f"[history]\n{history}\n")
        self.c.call("daemon.reload")

    def folder(self, number):
        return os.path.join(self.d.state, "output", str(number // 1000), str(number))

    def folders(self):
        top = os.path.join(self.d.state, "output")
        return sorted(int(name) for thousand in (os.listdir(top) if os.path.isdir(top) else ())
                      for name in os.listdir(os.path.join(top, thousand)))

    def ids(self):
        return [job["id"] for job in self.c.list_all()]

    def run_shell(self, script="echo done"):
        job = self.c.wait_one(self.c.call("job.submit", self.d.shell(script))["id"])
        self.assert_done(job)
        return job["id"]

    def run_timers(self, n):
        ids = self.c.call("job.submit_many", {"jobs": [{"kind": "timer", "sleep": 0}] * n})["ids"]
        self.c.wait(*ids)
        return ids

    def stats(self):
        return self.c.call("daemon.stats")

    def test_by_age(self):
        self.begin("keep = 2s")
        number, waits = self.run_shell(), self.c.submit("timer", sleep=0, delay=600)["id"]
        self.assertEqual(self.folders(), [number])
        wait_until(lambda: self.ids() == [waits], 20, "the job that is done is forgotten")
        with self.assertRaises(RpcError) as caught:
            self.c.get(number)
        self.assertEqual(caught.exception.word, "not_found")
        wait_until(lambda: not self.folders(), 10, "its directory is gone")
        stats = self.stats()
        self.assertEqual(stats["jobs"]["states"]["done"], 0)
        self.assertEqual(stats["store"]["history_bytes"], 0)
        self.c.call("job.cancel", {"ids": [waits]})
        wait_until(lambda: self.ids() == [], 20, "the cancelled one is forgotten, too")

    def test_by_number(self):
        self.begin("max_jobs = 5")
        waits = self.c.submit("timer", sleep=0, delay=600)["id"]
        self.run_timers(300)
        last = self.run_timers(5)
        wait_until(lambda: self.stats()["jobs"]["states"]["done"] == 5, 20, "five are left")
        self.assertEqual(self.ids(), [waits, *last])
        self.d.restart()
        self.c = self.client(self.d)
        self.assertEqual(self.ids(), [waits, *last])
        self.c.call("job.cancel", {"ids": [waits]})
        wait_until(lambda: self.ids() == [waits, *last[1:]], 20,
                   "who ended last stays, whatever its number")

    def test_by_size(self):
        self.begin("max_bytes = 150K")
        first, second = (self.run_shell("head -c 100000 /dev/zero") for _ in range(2))
        wait_until(lambda: self.ids() == [second], 20, "only the last one fits")
        wait_until(lambda: self.folders() == [second], 10, "the other one's directory is gone")
        self.assertNotEqual(first, second)
        n_bytes = self.stats()["store"]["history_bytes"]
        self.assertGreater(n_bytes, 100000)
        self.assertLess(n_bytes, 110000)

    def test_nothing_goes_by_default(self):
        self.begin()
        number = self.run_shell()
        self.run_timers(20)
        settings = self.c.call("daemon.info")["settings"]
        self.assertEqual((settings["history.keep"], settings["history.max_jobs"],
                          settings["history.max_bytes"]), (30 * 86400, 1000000, 10 << 30))
        self.c.call("daemon.reload")
        self.assertEqual(len(self.ids()), 21)
        self.assertEqual(self.folders(), [number])

    def test_a_reload_is_looked_at(self):
        self.begin("keep = 0\nmax_jobs = 0\nmax_bytes = 0")
        self.run_timers(10)
        self.setting("max_jobs = 3")
        wait_until(lambda: len(self.ids()) == 3, 10, "the new limit holds at once")
        self.setting("keep = 1s")
        wait_until(lambda: not self.ids(), 10, "so does the new age")
        self.assertIn("were removed", self.d.log())

    def test_own_keep(self):
        self.begin("keep = 1s")
        stays = self.c.submit("timer", sleep=0, keep="1h")["id"]
        brief = self.c.submit("timer", sleep=0, keep=0)["id"]
        plain = self.c.submit("timer", sleep=0)["id"]
        self.c.wait(stays)
        wait_until(lambda: self.ids() == [stays], 20, "only the one with a keep is left")
        self.assertLess(brief, plain)
        self.d.restart()
        self.c = self.client(self.d)
        self.assertEqual(self.ids(), [stays])

    # ---- directories ----

    def leave_folders(self, numbers):
        """As a crash leaves it: the records are gone and noted, the directories are there."""
        for number in numbers:
            os.makedirs(self.folder(number))
            with open(os.path.join(self.folder(number), "1.log"), "w", encoding="utf-8") as f:
                f.write("left")
        with sqlite3.connect(os.path.join(self.d.state, "awaitd.db")) as db:
            db.executemany("INSERT INTO gone VALUES (?)", [(n,) for n in numbers])
        db.close()

    def gone(self):
        db = sqlite3.connect(os.path.join(self.d.state, "awaitd.db"))
        numbers = [row[0] for row in db.execute("SELECT job FROM gone ORDER BY job")]
        db.close()
        return numbers

    def is_none_gone(self):
        """The row goes after the folder; a stop in between leaves it to the next start."""
        self.d.stop()
        rows = self.gone()
        self.d.start()
        return rows == []

    def test_a_crash_in_between_is_repaired(self):
        self.begin()
        removed = self.run_timers(300)
        stays = self.run_shell()
        self.c.call("job.remove", {"ids": removed})
        self.d.stop()
        self.leave_folders(removed)
        self.d.start()
        self.c = self.client(self.d)
        wait_until(lambda: self.folders() == [stays], 20, "what was left is removed")
        wait_until(self.is_none_gone, 20, "and its row with it")

    def test_a_directory_that_stays_is_tried_again(self):
        self.begin()
        stuck, other = self.run_shell(), self.run_shell()
        os.mkdir(os.path.join(self.folder(stuck), "in the way"))
        self.c.call("job.remove", {"ids": [stuck, other]})
        wait_until(lambda: self.folders() == [stuck], 10, "the other one is removed all the same")
        wait_until(lambda: f"job {stuck} for one" in self.d.log(), 10, "the log says so")
        self.d.restart()
        self.c = self.client(self.d)
        os.rmdir(os.path.join(self.folder(stuck), "in the way"))
        self.c.call("daemon.reload")
        wait_until(lambda: not self.folders(), 10, "it is removed in the end")
        wait_until(self.is_none_gone, 20, "and its row with it")

    def test_kill_in_the_middle(self):
        self.begin("max_jobs = 1000000")
        for _ in range(3):
            self.run_timers(1000)
        last = self.run_shell()
        self.setting("max_jobs = 1")
        self.d.kill9()
        self.d.start()
        self.c = self.client(self.d)
        wait_until(lambda: self.ids() == [last], 30, "the rest goes after the restart")
        self.assertEqual(self.d.stop(), 0)
        self.assertEqual(self.d.spawn("--check").wait(30), 0)


if __name__ == "__main__":
    main()
