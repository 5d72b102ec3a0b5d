# SPDX-License-Identifier: MIT
"""The daemons that a bench compares: each is started fresh, in a folder of its own, and ended.

All of them answer a submit when the job would survive a power cut: that is what
is compared.  A peer that is not installed is not run, and said to be missing.
"""
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import Daemon, die_with_us, wait_until  # noqa: E402


class Server:
    """A running daemon: its socket, its pid, and what bench/submit must be told to load it."""

    def __init__(self, path, pid, words=()):
        self.socket, self.pid = path, pid
        self.words = ["--socket", path, *words]


def listens(path):
    with socket.socket(socket.AF_UNIX) as s:
        return s.connect_ex(path) == 0


@contextlib.contextmanager
def running(argv, path, env, words):
    p = subprocess.Popen(argv, env={**os.environ, **env}, stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                         preexec_fn=die_with_us)
    try:
        wait_until(lambda: listens(path), 10, f"{argv[0]} listens")
        yield Server(path, p.pid, words)
    finally:
        p.terminate()
        p.wait()


class Awaitd:
    name = "awaitd"
    can_cycle = True

    def program(self):
        return True

    @contextlib.contextmanager
    def start(self, folder, env):
        d = Daemon(env=env)
        shutil.rmtree(d.state, ignore_errors=True)
        d.state = folder
        try:
            d.start()
            yield Server(d.socket, d.pid)
        finally:
            wrong = d.finish()
            d.remove()
            if wrong:
                raise SystemExit(f"bench: awaitd: {wrong}")


class Peer:
    """One that is installed from elsewhere."""
    can_cycle = False

    def program(self):
        return shutil.which(self.command, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")

    @contextlib.contextmanager
    def start(self, folder, env):
        with tempfile.TemporaryDirectory() as short:  # a socket's path may have 107 bytes
            path = os.path.join(short, "s")
            with running([self.program(), *self.options(path, folder)], path, env,
                         self.words) as server:
                yield server


class Beanstalkd(Peer):
    name = "beanstalkd"
    command = "beanstalkd"
    words = ("--protocol", "beanstalk")
    can_cycle = True

    def options(self, path, folder):
        return ["-l", f"unix:{path}", "-b", folder, "-f0"]  # a sync for each job


class Redis(Peer):
    name = "redis"
    command = "redis-server"
    words = ("--protocol", "redis")

    def options(self, path, folder):
        return ["--dir", folder, "--save", "", "--appendonly", "yes", "--appendfsync", "always",
                "--port", "0", "--unixsocket", path]


class SubmitProto(Peer):
    """The least that takes durable submits: the same libraries, no job ever runs."""
    name = "submit_proto"
    words = ("--method", "submit")

    def program(self):
        path = os.path.join(os.environ.get("AWAITD_PEERS", "/nonexistent"), "submit_proto")
        return path if os.access(path, os.X_OK) else None

    def options(self, path, folder):
        return ["thread", path, os.path.join(folder, "jobs.db"), "0", "partial"]


ALL = (Awaitd(), Beanstalkd(), Redis(), SubmitProto())


def installed():
    return [p for p in ALL if p.program()]


def missing():
    return [p.name for p in ALL if not p.program()]
