# SPDX-License-Identifier: MIT
"""What the fault tests share: a daemon with its clients, its judge and its faults.

Environment, beside that of tests/support/awaitd_test.py:
  LONG         if set, as often as before a release; otherwise a short run
  FAULT_SHIM   tests/fault/shim.so (make check sets it)
Each test names, in its first lines, the variables that say more exactly how often.
"""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import IS_SLOW, SEED, TestCase, die_with_us, wait_until
from judge import Judge

CONFIG = "[daemon]\nlog_level = notice\n[queues]\nworker_limit = 16\n"
HERE = os.path.dirname(os.path.abspath(__file__))


def find_shim():
    path = os.environ.get("FAULT_SHIM") or os.path.join(os.getcwd(), "tests/fault/shim.so")
    return os.path.abspath(path)


SHIM = find_shim()


def how_often(name, short, long):
    """From the environment, as make passes it on."""
    return int(os.environ.get(name) or (long if os.environ.get("LONG") else short))


class Rig:
    """A daemon that will have a hard time, and all that watches it."""

    def __init__(self, case, name, n_clients, seed=SEED, **setup):
        self.case = case
        self.d = case.daemon(start=False, config=CONFIG)
        self.journal = os.path.join(self.d.home, "journal")
        self.files = os.path.join(self.d.home, "files")
        os.mkdir(self.files)
        self.setup = {"socket": self.d.socket, "journal": self.journal, "mark": self.d.mark,
                      "files": self.files, **setup}
        self.seed = f"{seed} {name}"
        books = [os.path.join(self.d.home, f"book{n}") for n in range(n_clients)]
        self.books = books
        self.clients = []
        self.judge = Judge(self.d.state, books, self.journal)
        case.addCleanup(self.end_clients)

    def start_clients(self, niceness=0, **setup):
        """A process each, which lives until end_clients() or its "count" is reached."""
        def prepare():
            die_with_us()
            os.nice(niceness)
        for number, book in enumerate(self.books):
            self.clients.append(subprocess.Popen(
                [sys.executable, "-B", os.path.join(HERE, "client.py"), json.dumps(
                    {**self.setup, "book": book, "number": number, "seed": self.seed, **setup})],
                stdin=subprocess.DEVNULL, preexec_fn=prepare))

    def spawn(self, **faults):
        """Start the daemon on a disk with faults (shim.c says which), and do not wait for it."""
        os.makedirs(self.d.state, mode=0o700, exist_ok=True)
        return self.d.spawn(env={"LD_PRELOAD": SHIM, "FAULT_DIR": self.d.state, **faults})

    def check_clients(self):
        """None has met what it does not understand."""
        for client in self.clients:
            if client.poll() not in (None, 0):
                raise AssertionError(f"a client ended with status {client.returncode}")

    def end_clients(self):
        """They may die at any moment: what they know is in their books."""
        self.check_clients()
        for client in self.clients:
            client.kill()
            client.wait()
        self.clients = []

    def wait_clients(self, seconds):
        wait_until(lambda: all(c.poll() is not None for c in self.clients), seconds,
                   "the clients have their answers")
        self.end_clients()

    def kill9(self):
        """A crash of the daemon, and its workers with it."""
        self.d.kill9()
        self.wait_gone()

    def wait_gone(self):
        self.d.check_supervisors_gone()
        wait_until(lambda: not self.d.leftovers(), 15, "a killed daemon leaves no worker")

    def finish(self, seconds=60):
        """The last life: all jobs end, the daemon stops, everything is compared."""
        with self.d.client() as c:
            # What a client sent before it died may still be on its way in.
            wait_until(lambda: c.call("daemon.stats")["connections"]["open"] == 1, seconds,
                       "the connections of the dead are closed")
            unfinished = [j["id"] for j in c.list_all(state=["waiting", "running", "stopping"])]
            for at in range(0, len(unfinished), 1000):
                c.wait(*unfinished[at:at + 1000], timeout=seconds)
        status = self.d.stop()
        self.case.assertEqual(status, 0, "the orderly stop in the end")
        self.judge.close()

    def figures(self):
        j = self.judge
        refused = ", ".join(f"{n} {what} {word}" for (what, word), n in sorted(j.refused.items()))
        return (f"{len(j.acknowledged.all)} acknowledged of {len(j.sent)} sent, "
                f"{len(j.starts.all)} starts of workers, {len(j.told.all)} ends and "
                f"{len(j.cancelled)} cancels told" + (f", refused: {refused}" if refused else ""))


class FaultCase(TestCase):
    limit = 100000  # long runs are asked for; each wait in them has its own limit

    def need_shim(self):
        if IS_SLOW:
            self.skipTest("what is preloaded does not go together with sanitizers or a wrapper")
        if not os.path.exists(SHIM):
            self.fail(f"{SHIM} is not there: make check builds it")
