#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Random trees of jobs against a small model, with cancels, timeouts, retries and kill -9.

Each tree is random: compositions in compositions, timers, workers, fetches,
some held up, some that fail, some cancelled at a random moment, and the daemon
dies now and then.  The model does not foretell what races decide; it knows
which ends fit together.  When all is over, every job has one outcome and one
end event, every composition has what its parts make of it, what was skipped
or cancelled in time never started, and no process is left.
"""
import collections
import contextlib
import os
import random
import sqlite3
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import (AWAITD, Client, Gone, IS_SLOW, RpcError, SEED, TestCase, main, parse_time,
                         scaled, wait_until)
import subprocess

RUNS = int(os.environ.get("AWAITD_TEST_RUNS") or (40 if IS_SLOW else 150))
AT_ONCE = 40
DEPTH, WIDTH = 5, 20
KILL_EVERY = float(os.environ.get("AWAITD_TEST_KILL_EVERY") or (6 if IS_SLOW else 1.5))  # seconds
PROCESSES_PER_TREE = 4


class Maker:
    """Random documents."""

    def __init__(self, chance, d, web):
        self.chance, self.d, self.web = chance, d, web
        self.n_processes = 0

    def tree(self, needs):
        self.n_processes = 0
        doc = self.composition(DEPTH)
        if needs and self.chance.random() < 0.3:
            doc["needs"] = [{"job": self.chance.choice(needs),
                             "on": self.chance.choice(("success", "failure", "done"))}]
        return doc

    def some(self, probability):
        return self.chance.random() < probability

    def common(self, doc):
        if self.some(0.08):
            doc["delay"] = self.chance.choice((0.01, 0.05, 0.2))
        if self.some(0.06):
            doc["timeout"] = self.chance.choice((0.02, 0.1, 0.5))
        if self.some(0.04):
            doc["deadline"] = self.chance.choice((0.05, 0.3, 2))
        if self.some(0.1):
            doc["retry"] = {"max": self.chance.choice((1, 2)), "delay": 0.02, "max_delay": 0.1}
        return doc

    def composition(self, depth):
        kind = self.chance.choice(("gather", "sequence", "race"))
        # Wide ones are rare, so that most trees are small and some are not.
        width = self.chance.choice((1, 2, 2, 3, 3, 4, 5, WIDTH))
        doc = {"kind": kind, "jobs": [self.part(depth - 1) for _ in range(width)]}
        if kind == "gather":
            if self.some(0.3):
                doc["on_failure"] = "continue"
            if self.some(0.3):
                doc["limit"] = self.chance.randint(1, 4)
        return self.common(doc)

    def part(self, depth):
        doc = (self.composition(depth) if depth > 1 and self.some(0.25) else self.leaf())
        if self.some(0.05):
            doc["shield"] = True
        return doc

    def leaf(self):
        what = self.chance.random()
        if what < 0.15 and self.n_processes < PROCESSES_PER_TREE:
            self.n_processes += 1
            good = self.chance.choice((1, 1, 1, 2, 99))  # the attempt that succeeds
            doc = self.d.shell(f'sleep {self.chance.choice((0, 0.02, 0.1))}; '
                               f'test "$AWAITD_ATTEMPT" -ge {good}')
            doc["name"] = f"good {good}"
            doc["on_lost"] = self.chance.choice(("fail", "retry"))
            doc["grace"] = 0.2
        elif what < 0.25:
            status = self.chance.choice((200, 200, 404))
            doc = {"kind": "fetch", "url": self.web.url(f"/status/{status}"),
                   "name": f"status {status}"}
        else:
            doc = {"kind": "timer", "sleep": self.chance.choice((0, 0, 0.01, 0.05, 0.15)),
                   "value": self.chance.randrange(1000)}
        return self.common(doc)


class Model:
    """What fits together."""

    def __init__(self, story, jobs, asked):
        self.story = story
        self.jobs = {j["id"]: j for j in jobs}
        self.asked = asked  # ids that somebody asked to cancel

    def fail(self, job, what):
        tree = self.jobs[job["id"]]
        raise AssertionError(f"job {job['id']} ({job['kind']}, part of {job['parent']}): {what}: "
                             f"{ {k: tree[k] for k in ('outcome', 'error', 'attempt', 'result')} } "
                             f"children {[(c, self.jobs[c]['outcome']) for c in job['children']]} "
                             f"(seed {SEED})")

    def above(self, job):
        while job["parent"]:
            job = self.jobs[job["parent"]]
            yield job

    def check(self):
        for job in self.jobs.values():
            if job["state"] != "done" or not job["outcome"]:
                self.fail(job, "not done")
            self.check_reason(job)
            if job["kind"] in ("gather", "sequence", "race"):
                self.check_composition(job)
            else:
                self.check_leaf(job)

    def check_reason(self, job):
        """Was there anything that could lead to this outcome at all?"""
        outcome, spec = job["outcome"], job["spec"]
        if (outcome == "succeeded") != (job["error"] is None):
            self.fail(job, "an error, or none, does not fit the outcome")
        if outcome == "timed_out" and not ("timeout" in spec or "deadline" in spec or any(
                "deadline" in a["spec"] for a in self.above(job))):
            self.fail(job, "timed out without a limit")
        if outcome == "cancelled" and job["id"] not in self.asked and not job["parent"]:
            self.fail(job, "cancelled, and nobody asked")
        if outcome == "skipped" and not job["parent"] and not job["needs"]:
            self.fail(job, "skipped without a need")
        if outcome == "skipped" and job["attempt"] != 0:
            self.fail(job, "skipped, and it had started")
        retries = spec.get("retry", {}).get("max", 0)
        if job["kind"] not in ("fetch", "worker") and job["attempt"] > 1 + retries:
            self.fail(job, "too many attempts")
        if outcome == "failed" and job["error"]["code"] not in ("crash_loop", "needs") and \
                job["kind"] not in ("fetch", "worker") and job["attempt"] != 1 + retries:
            self.fail(job, "failed before its retries were used up")

    def check_leaf(self, job):
        if job["kind"] == "timer" and job["outcome"] == "succeeded":
            if job["result"] != job["spec"]["value"]:
                self.fail(job, "another value")
        if job["kind"] == "worker" and job["outcome"] in ("succeeded", "failed") and \
                job["error"] is not None and job["error"]["code"] == "exit":
            if job["attempt"] >= int(job["name"].split()[1]):
                self.fail(job, "failed in the attempt that succeeds")
        if job["kind"] == "worker" and job["outcome"] == "succeeded" and \
                job["attempt"] < int(job["name"].split()[1]):
            self.fail(job, "succeeded in an attempt that fails")
        if job["kind"] == "fetch" and job["outcome"] == "succeeded" and job["name"] != "status 200":
            self.fail(job, "a refused status is a success")

    def parts(self, job):
        parts = [self.jobs[c] for c in job["children"]]
        if [p["index"] for p in parts] != list(range(len(job["spec"]["jobs"]))):
            self.fail(job, "parts are missing or out of order")
        return parts

    def check_composition(self, job):
        parts = self.parts(job)
        good = [p["outcome"] == "succeeded" for p in parts]
        outcome = job["outcome"]
        end = parse_time(job["ended_at"])
        for p in parts:
            if p["state"] != "done":
                self.fail(job, f"done before its part {p['index']}, which is {p['state']}")
            if parse_time(p["ended_at"]) > end + 0.001:
                self.fail(job, f"ended before its part {p['index']}")
        if outcome == "skipped" and any(p["attempt"] for p in parts):
            self.fail(job, "skipped, but a part has run")
        if outcome not in ("succeeded", "failed") or job["attempt"] == 0:
            return
        if outcome == "failed" and job["error"]["code"] != "part_failed":
            self.fail(job, "failed for another reason than a part")
        getattr(self, job["kind"])(job, parts, good)

    def check_errors(self, job, parts):
        """What the error says is so."""
        listed = {e["job"]: e for e in job["error"]["errors"]}
        for number, e in listed.items():
            part = self.jobs[number]
            if part["parent"] != job["id"] or part["index"] != e["index"] or \
                    part["error"]["code"] != e["code"]:
                self.fail(job, f"its list of errors is wrong about {number}")
        if job["error"]["job"] not in [p["id"] for p in parts if p["outcome"] != "succeeded"]:
            self.fail(job, "the part that it blames has succeeded")
        return listed

    def gather(self, job, parts, good):
        goes_on = job["spec"].get("on_failure") == "continue"
        if (job["outcome"] == "succeeded") != all(good):
            self.fail(job, "the outcome does not follow from its parts")
        if job["outcome"] == "succeeded" or goes_on:
            if job["result"] != [p["result"] if g else None for p, g in zip(parts, good)]:
                self.fail(job, "another result than its parts'")
        if job["outcome"] == "failed":
            listed = self.check_errors(job, parts)
            if goes_on and set(listed) != {p["id"] for p, g in zip(parts, good) if not g}:
                self.fail(job, "not every error is listed")

    def sequence(self, job, parts, good):
        if (job["outcome"] == "succeeded") != all(good):
            self.fail(job, "the outcome does not follow from its parts")
        if job["outcome"] == "succeeded" and job["result"] != parts[-1]["result"]:
            self.fail(job, "another result than the last one's")
        first = good.index(False) if False in good else len(good)
        for p in parts[first + 1:]:
            if p["attempt"]:
                self.fail(job, f"part {p['index']} ran after a failure")
        for before, p in zip(parts, parts[1:first + 1]):
            if p["started_at"] and parse_time(p["started_at"]) < parse_time(before["ended_at"]):
                self.fail(job, f"part {p['index']} started before the one before it had ended")

    def race(self, job, parts, good):
        if (job["outcome"] == "succeeded") != any(good):
            self.fail(job, "the outcome does not follow from its parts")
        if job["outcome"] == "succeeded":
            winner = parts[job["result"]["winner"]]
            if winner["outcome"] != "succeeded" or winner["result"] != job["result"]["result"]:
                self.fail(job, "its winner did not win")


class TreeModel(TestCase):
    limit = 3600

    def setUp(self):
        print(f"seed {SEED}, {RUNS} runs", flush=True)
        self.chance = random.Random(SEED)
        self.web_server = self.web()
        self.d = self.daemon(config="[queues]\nworker_limit = 8\n")
        self.maker = Maker(self.chance, self.d, self.web_server)
        self.roots, self.asked, self.n_kills = [], set(), 0
        self.next_kill = time.monotonic() + KILL_EVERY

    def kill(self):
        self.d.kill9()
        self.d.start()
        self.n_kills += 1
        self.next_kill = time.monotonic() + KILL_EVERY * self.chance.uniform(0.3, 1.7)

    def talk(self, action):
        """Do @action with a connection, again when the daemon was killed under it."""
        while True:
            try:
                with self.d.client() as c:
                    return action(c)
            except (Gone, OSError):
                if not self.d.is_alive():
                    raise AssertionError(f"the daemon died ({self.d.process.returncode}):\n" +
                                         self.d.log_tail()) from None

    def submit(self, doc, key):
        return self.talk(lambda c: c.call("job.submit", {**doc, "key": key}))["id"]

    def cancel_something(self):
        """A root, or something in its tree, by a guess at its id."""
        target = max(self.roots[-AT_ONCE:], default=1) + self.chance.choice((0, 0, -1, 1, 3, 7))
        def ask(c):
            self.asked.add(target)  # it may hold even when the answer is lost
            with contextlib.suppress(RpcError):
                c.call("job.cancel", {"ids": [target], "grace": 0.1})
        self.talk(ask)

    def run_trees(self):
        open_roots = collections.deque()
        for n in range(RUNS):
            self.roots.append(self.submit(self.maker.tree(self.roots[-5:]), f"tree {n}"))
            open_roots.append(self.roots[-1])
            if self.chance.random() < 0.3:
                self.cancel_something()
            if time.monotonic() > self.next_kill:
                self.kill()
            if len(open_roots) >= AT_ONCE:
                self.wait_for(open_roots, len(open_roots) // 2)
        self.wait_for(open_roots, 0)

    def unfinished(self, c):
        """What has not ended, a line each, for people."""
        return "\n".join(f"{j['id']} {j['kind']} of {j['parent']} {j['state']} {j['reason']} "
                         f"attempt {j['attempt']} {j['spec'] if not j['children'] else ''}"
                         for j in c.list_all(state=["waiting", "running", "stopping"])[:60])

    def wait_for(self, open_roots, n_left):
        """Until so many of the oldest are over; the killing goes on meanwhile."""
        end = time.monotonic() + scaled(60)
        while len(open_roots) > n_left:
            if time.monotonic() > end:
                self.fail(f"root {open_roots[0]} does not end:\n" + self.talk(self.unfinished))
            def look(c):
                return c.call("job.wait", {"ids": [open_roots[0]], "timeout": 0.2})
            if not self.talk(look)["timed_out"]:
                open_roots.popleft()
                end = time.monotonic() + scaled(60)
            if time.monotonic() > self.next_kill:
                self.kill()

    def test_every_tree_ends_as_its_parts_say(self):
        self.run_trees()
        with self.d.client() as c:
            jobs = c.list_all()
            # Long results and documents are not in lists.
            jobs = [c.get(j["id"]) if j["truncated"] else j for j in jobs]
        Model(self, jobs, self.asked).check()
        wait_until(lambda: not self.d.leftovers(), 5, "no process of a worker is left")
        self.assertEqual(self.d.stop(), 0)
        self.check_events()
        print(f"{RUNS} trees, {len(jobs)} jobs, {self.n_kills} kills, "
              f"{len(self.asked)} cancels: "
              f"{dict(collections.Counter(j['outcome'] for j in jobs))}", flush=True)

    def check_events(self):
        with contextlib.closing(sqlite3.connect(os.path.join(self.d.state, "awaitd.db"))) as db:
            ends = db.execute("SELECT job, count(*) FROM event WHERE state = 'done' GROUP BY job "
                              "HAVING count(*) <> 1").fetchall()
            self.assertEqual(ends, [], "jobs with another number of ends than one")
            missing = db.execute("SELECT id FROM job WHERE id NOT IN (SELECT job FROM event "
                                 "WHERE state = 'done')").fetchall()
            self.assertEqual(missing, [], "jobs without an end")
        check = subprocess.run([AWAITD, "--user", "--state-dir", self.d.state, "--check"],
                               capture_output=True, text=True, env=self.d.env, check=False)
        self.assertEqual(check.returncode, 0, check.stdout + check.stderr)


if __name__ == "__main__":
    main()
