#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""awaitctl cancel and remove by filter: who is meant, the question, what moves on meanwhile."""
import os
import pty
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import AWAITCTL, TestCase, die_with_us, main, scaled


class Select(TestCase):
    def submit(self, c, n=1, **keys):
        return [c.submit("timer", **{"sleep": 0, "delay": 600, **keys})["id"] for _ in range(n)]

    def outcomes(self, c, ids):
        return {c.get(i)["outcome"] for i in ids}

    def test_cancel_by_filter(self):
        d = self.daemon()
        c = self.client(d)
        red, blue = self.submit(c, 3, tags=["red"]), self.submit(c, 2, tags=["blue", "x"])
        running = self.submit(c, 1, tags=["red"], delay=0, sleep=600)
        c.wait_state(running[0], "running")
        p = d.ctl("cancel", "--tag", "red", "--state", "waiting")
        self.assertEqual((p.status, p.out), (0, ""), p)
        self.assertEqual(self.outcomes(c, red), {"cancelled"})
        self.assertEqual(self.outcomes(c, blue + running), {None})
        # Without --state: all that is not done; --message goes along.
        p = d.ctl("cancel", "--tag", "red,blue", "-m", "enough")
        self.assertEqual(p.status, 0, p)
        self.assertEqual(c.wait_one(running[0])["error"]["message"], "enough")
        c.wait(*blue)
        self.assertEqual(self.outcomes(c, blue), {"cancelled"})
        p = d.ctl("cancel", "--tag", "red")
        self.assertEqual(p.status, 0, p)
        self.assertIn("no job matches", p.err)

    def test_more_than_a_page(self):
        d = self.daemon()
        c = self.client(d)
        jobs = [{"kind": "timer", "sleep": 0, "delay": 600, "tags": ["many"]}] * 2500
        ids = c.call("job.submit_many", {"jobs": jobs})["ids"]
        keep = self.submit(c)
        self.assertEqual(d.ctl("cancel", "--tag", "many").status, 0)
        c.wait(*ids[-1:])
        self.assertEqual(c.call("daemon.stats")["jobs"]["outcomes"]["cancelled"], 2500)
        self.assertEqual(self.outcomes(c, keep), {None})
        self.assertEqual(d.ctl("remove", "--tag", "many", "--outcome", "cancelled").status, 0)
        self.assertEqual([j["id"] for j in c.list_all()], keep)
        d.ctl("cancel", str(keep[0]))

    def test_remove_passes_over_what_is_not_done(self):
        d = self.daemon()
        c = self.client(d)
        done = self.submit(c, 2, delay=0, name="a")
        waiting = self.submit(c, 1, name="a")
        c.wait(*done)
        self.assertEqual(d.ctl("remove", "--name", "a").status, 0)
        self.assertEqual([j["id"] for j in c.list_all()], waiting)
        d.ctl("cancel", str(waiting[0]))

    def test_usage(self):
        d = self.daemon()
        for words in (["cancel"], ["remove"], ["cancel", "1", "--tag", "x"]):
            p = d.ctl(*words)
            self.assertEqual(p.status, 2, p)
        p = d.ctl("cancel", "--state", "asleep")
        self.assertEqual(p.status, 4, p)
        self.assertIn("asleep", p.err)

    def at_terminal(self, d, answer, *words):
        """Run awaitctl at a terminal and answer its question."""
        main_end, end = pty.openpty()
        p = subprocess.Popen([AWAITCTL, "--socket", d.socket, *words], stdin=end, stderr=end,
                             stdout=subprocess.DEVNULL, preexec_fn=die_with_us, env=d.env)
        os.close(end)
        os.write(main_end, answer)
        text = b""
        try:
            while True:
                text += os.read(main_end, 4096)
        except OSError:
            pass
        os.close(main_end)
        return p.wait(scaled(20)), text.decode()

    def test_the_question(self):
        d = self.daemon()
        c = self.client(d)
        ids = self.submit(c, 2, tags=["x"])
        status, text = self.at_terminal(d, b"n\n", "cancel", "--tag", "x")
        self.assertEqual(status, 1)
        self.assertIn("cancel 2 jobs?", text)
        self.assertEqual(self.outcomes(c, ids), {None})
        status, text = self.at_terminal(d, b"y\n", "cancel", "--tag", "x", "--name", "nobody")
        self.assertNotIn("?", text)
        status, text = self.at_terminal(d, b"y\n", "cancel", "--tag", "x")
        self.assertEqual((status, self.outcomes(c, ids)), (0, {"cancelled"}))
        status, text = self.at_terminal(d, b"", "remove", "--tag", "x", "--yes")
        self.assertEqual((status, c.list_all()), (0, []))
        self.assertNotIn("?", text)


if __name__ == "__main__":
    main()
