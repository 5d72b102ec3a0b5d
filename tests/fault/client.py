#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""One client of the fault tests, a process of its own that writes down what it knows.

    client.py JSON

JSON: socket, book (the file to write), number, seed, journal (the workers'
file), mark, and, optionally, web (URL of the fault server), files (a folder for
fetches), count (submits, then end), depth, workers (at most so many per life of the daemon).

It submits, waits for jobs, cancels some, and connects again when the daemon has
died, until it is killed.  Each line of the book is one fact, in the
order in which the client learned it, and on the disk before anything follows
from it: "sent" before the request leaves, all others as soon as the reply is
read.  The judge (judge.py) reads nothing else of what the daemon said.
"""
import json
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import MARK, Client, Gone

# The worker tells of itself: one write each, to a file opened for appending.
SCRIPT = ('echo "$AWAITD_JOB_ID $AWAITD_ATTEMPT $$ start" >> {journal}; {work}'
          'echo "$AWAITD_JOB_ID $AWAITD_ATTEMPT $$ end" >> {journal}; exit {status}')


class Book:
    """Facts, appended and synced."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.lines = []

    def note(self, is_, **facts):
        self.lines.append(json.dumps({"is": is_, **facts}, separators=(",", ":")) + "\n")

    def sync(self):
        if self.lines:
            os.write(self.fd, "".join(self.lines).encode())
            os.fdatasync(self.fd)
            self.lines = []


def worker_document(journal, mark, work="", status=0, **keys):
    script = SCRIPT.format(journal=journal, work=work, status=status)
    return {"kind": "worker", "argv": ["/bin/sh", "-c", script], "env": {MARK: mark}, **keys}


class Load:
    def __init__(self, setup):
        self.setup = setup
        self.chance = random.Random(f"{setup['seed']} {setup['number']}")
        self.book = Book(setup["book"])
        self.depth = setup.get("depth", 8)
        self.left = setup.get("count")
        self.known = []   # ids of the last jobs
        self.n_named = 0
        self.n_workers = 0
        self.asked = {}   # request id -> (what, fact)
        self.again = []   # documents with a key whose reply was lost
        self.out = []     # requests not sent yet

    # ---- documents ----

    def timer(self):
        document = {"kind": "timer", "sleep": self.chance.choice((0, 0, 0.01, 0.2, 2))}
        if self.chance.randrange(3) == 0:
            document["delay"] = self.chance.choice((0.1, 1, 3))
        if self.chance.randrange(20) == 0:
            document["value"] = "x" * 20000
        return document

    def worker(self):
        self.n_workers += 1
        return worker_document(
            self.setup["journal"], self.setup["mark"],
            work=self.chance.choice(("", "sleep 0.05; ", "sleep 0.3; ")),
            status=self.chance.choice((0, 0, 0, 3)), on_lost=self.chance.choice(("fail", "retry")))

    def fetch(self, name):
        document = {"kind": "fetch", "url": self.setup["web"] + self.chance.choice(
            ("/bytes/2000", "/delay/0.1/x?size=500", "/status/404",
             f"/part/{name}?cuts=2&after=700&size=2000&end=stall"))}
        if "/part/" in document["url"]:  # it falls silent in the middle
            document["idle_timeout"] = 0.3
            document["retry"] = {"max": 5, "delay": 0.01}
            document["output"] = os.path.join(self.setup["files"], name)
        elif self.chance.randrange(4) == 0:
            document["method"] = "POST"
            document["body"] = name
        elif self.chance.randrange(2):
            document["output"] = os.path.join(self.setup["files"], name)
            document["overwrite"] = True
        return document

    def tree(self, depth=2):
        """A composition of timers, workers and other compositions."""
        parts = []
        for _ in range(self.chance.randint(1, 4)):
            dice = self.chance.randrange(8)
            if dice < 2 and self.n_workers < self.setup.get("workers", 6):
                parts.append(self.worker())
            elif dice < 4 and depth > 1:
                parts.append(self.tree(depth - 1))
            else:
                parts.append({"kind": "timer", "sleep": self.chance.choice((0, 0.01, 0.2))})
        kind = self.chance.choice(("gather", "sequence", "race"))
        document = {"kind": kind, "jobs": parts}
        if kind == "gather" and self.chance.randrange(2):
            document["on_failure"] = "continue"
        return document

    def spice(self, document):
        """What engages more of the engine."""
        if document["kind"] == "worker" and self.chance.randrange(3) == 0:
            document["retry"] = {"max": 2, "delay": 0.05}
        if self.known and self.chance.randrange(6) == 0:
            document["needs"] = [{"job": self.chance.choice(self.known),
                                  "on": self.chance.choice(("success", "failure", "done"))}]
        if self.chance.randrange(12) == 0:
            document["timeout"] = self.chance.choice((0.05, 0.5))
        if self.chance.randrange(12) == 0:
            document["deadline"] = self.chance.choice((0.1, 1))

    def document(self):
        self.n_named += 1
        name = f"c{self.setup['number']}n{self.n_named}"
        what = self.chance.randrange(20)
        if what < 6 and self.n_workers < self.setup.get("workers", 6):
            document = self.worker()
        elif what < 10 and "web" in self.setup:
            document = self.fetch(name)
        elif what < 13:
            document = self.tree()
        else:
            document = self.timer()
        self.spice(document)
        document["name"] = name
        if self.chance.randrange(3) == 0:
            document["key"] = "key-" + name
        return document

    # ---- requests ----

    def ask(self, c, method, params, what, **fact):
        c.next_id += 1
        message = {"jsonrpc": "2.0", "id": c.next_id, "method": method, "params": params}
        self.out.append(json.dumps(message, separators=(",", ":")).encode() + b"\n")
        self.asked[c.next_id] = (what, fact)

    def submit(self, c, document):
        self.book.note("sent", name=document["name"], document=document)
        self.ask(c, "job.submit", document, "submit", document=document)

    def fill(self, c):
        n = sum(what == "submit" for what, _ in self.asked.values())
        while n < self.depth and self.left != 0:
            self.submit(c, self.again.pop() if self.again else self.document())
            self.left = None if self.left is None else self.left - 1
            n += 1

    def flush(self, c):
        self.book.sync()
        if self.out:
            data, self.out = b"".join(self.out), []
            c.send_raw(data)

    # ---- replies ----

    def acknowledged(self, c, document, job):
        self.book.note("acknowledged", name=document["name"], id=job["id"],
                       existing=job["existing"])
        self.known = self.known[-20:] + [job["id"]]
        dice = self.chance.randrange(8)
        if dice == 0:
            self.ask(c, "job.cancel", {"ids": [job["id"]]}, "cancel", id=job["id"])
        elif dice < 3:
            self.ask(c, "job.wait", {"ids": [job["id"]]}, "wait", id=job["id"])

    def hear(self, c, line):
        message = json.loads(line)
        what, fact = self.asked.pop(message["id"])
        if "error" in message:
            word = (message["error"].get("data") or {}).get("code")
            name = fact["document"]["name"] if what == "submit" else None
            self.book.note("refused", what=what, name=name, id=fact.get("id"), word=word)
        elif what == "submit":
            self.acknowledged(c, fact["document"], message["result"])
        elif what == "cancel":
            self.book.note("cancelled", id=fact["id"])
        elif what == "wait":
            job = message["result"]["jobs"][0]
            self.book.note("ended", id=job["id"], outcome=job["outcome"], attempt=job["attempt"],
                           ended_at=job["ended_at"])

    def life(self, c):
        """Until the daemon dies, or all that was to be sent is answered."""
        self.n_workers = 0
        while self.left != 0 or self.asked:
            self.fill(c)
            self.flush(c)
            self.hear(c, c.read_line())
            while b"\n" in c.pending:
                self.hear(c, c.read_line())
            self.book.sync()

    def lose(self):
        """The connection is gone: what was asked is neither done nor undone."""
        for what, fact in self.asked.values():
            if what == "submit" and "key" in fact["document"]:
                self.again.append(fact["document"])
            elif what == "submit" and self.left is not None:
                self.left += 1
        self.asked, self.out = {}, []

    def run(self):
        while self.left != 0 or self.asked or self.again:
            try:
                with Client(self.setup["socket"]) as c:
                    self.life(c)
            except (Gone, OSError):
                self.book.sync()
                self.lose()
                time.sleep(0.005)


def main():
    Load(json.loads(sys.argv[1])).run()


if __name__ == "__main__":
    main()
