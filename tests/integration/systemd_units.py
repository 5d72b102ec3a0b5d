#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The units that are installed; what the manager and clients are told at a stop or a vain start."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import AWAITCTL, AWAITD, TOP, TestCase, die_with_us, main, scaled
from manager import HAS_SYSTEMD, NotifySocket

UNITS = os.path.join(os.environ.get("AWAITD_SRCDIR", TOP), "packaging", "systemd")
PERMANENT = {"2", "65", "75", "78"}


def read(name):
    with open(os.path.join(UNITS, name), encoding="utf-8") as f:
        return f.read()


def setting(text, key):
    return re.findall(rf"^{key}=(.*)$", text, re.M)


class Units(unittest.TestCase):
    def verify(self, scope, folder):
        """systemd-analyze has status 0 for an unknown key: any output is a failure."""
        with tempfile.TemporaryDirectory() as d:
            bindir = os.path.join(d, "bin")
            os.mkdir(bindir)
            os.symlink(AWAITD, os.path.join(bindir, "awaitd"))
            os.symlink(AWAITCTL, os.path.join(bindir, "awaitctl"))
            service = os.path.join(d, "awaitd.service")
            with open(service, "w", encoding="utf-8") as f:
                f.write(read(folder + "awaitd.service.in").replace("@bindir@", bindir))
            shutil.copy(os.path.join(UNITS, folder, "awaitd.socket"), d)
            p = subprocess.run(["systemd-analyze", "verify", scope, "--man=no", service,
                                os.path.join(d, "awaitd.socket")],
                               env={**os.environ, "XDG_RUNTIME_DIR": d}, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               timeout=scaled(60), check=False)
            # Units of the machine that the tests run on are not ours to judge.
            ours = [line for line in p.stdout.splitlines() if "awaitd" in line or d in line]
            self.assertEqual(ours, [], "systemd has nothing to say about them")

    @unittest.skipUnless(shutil.which("systemd-analyze"), "no systemd-analyze here")
    def test_system_units(self):
        self.verify("--system", "")

    @unittest.skipUnless(shutil.which("systemd-analyze"), "no systemd-analyze here")
    def test_user_units(self):
        self.verify("--user", "user/")

    def test_what_the_daemon_relies_on(self):
        for name in ("awaitd.service.in", "user/awaitd.service.in"):
            text = read(name)
            with self.subTest(name):
                self.assertEqual(setting(text, "Type"), ["notify"])
                self.assertEqual(setting(text, "KillMode"), ["mixed"])
                self.assertEqual(set(setting(text, "RestartPreventExitStatus")[0].split()),
                                 PERMANENT)
                self.assertEqual(setting(text, "TimeoutStopSec"), ["30s"],
                                 "stop_timeout's default and 10 s")
                self.assertEqual(setting(text, "RuntimeDirectory"), [],
                                 "the socket's folder would vanish with the service")
                self.assertEqual(setting(text, "Also"), [],
                                 "an upgrade would restart the socket, and refuse clients")

    def test_the_socket(self):
        text = read("awaitd.socket")
        self.assertEqual(setting(text, "ListenStream"), ["/run/awaitd/awaitd.sock"])
        self.assertEqual(setting(text, "SocketMode"), ["0660"])
        self.assertEqual(setting(text, "SocketGroup"), ["awaitd"])
        self.assertEqual(setting(text, "SocketUser"), [], "workers could open their own to all")
        self.assertEqual(setting(read("user/awaitd.socket"), "SocketMode"), ["0600"])


@unittest.skipUnless(HAS_SYSTEMD, "built without libsystemd")
class Manager(TestCase):
    def test_stop_asks_for_the_time_it_takes(self):
        d = self.daemon(config="[daemon]\nstop_timeout = 50s\n", start=False)
        manager = NotifySocket(self, d)
        d.spawn()
        manager.until("READY=1")
        d.process.send_signal(signal.SIGTERM)
        self.assertIn("EXTEND_TIMEOUT_USEC=60000000", manager.until("STOPPING=1"))
        self.assertEqual(d.wait_exit(), 0)

    def test_draining_is_not_stopping(self):
        """Told of a stop, the manager kills after TimeoutStopSec=, in the midst of what runs."""
        d = self.daemon(start=False)
        manager = NotifySocket(self, d)
        d.spawn()
        manager.until("READY=1")
        c = self.client(d)
        fifo = os.path.join(d.dir, "go")
        os.mkfifo(fifo)
        c.wait_state(c.call("job.submit", d.shell(f"read line < {fifo}"))["id"], "running")
        c.call("daemon.shutdown", {"drain": True})
        seen = manager.until("STATUS=stopping when nothing runs any more")
        self.assertNotIn("STOPPING=1", seen)
        with open(fifo, "w", encoding="ascii") as f:
            f.write("on\n")
        manager.until("STOPPING=1")
        self.assertEqual(d.wait_exit(), 0)

    def start_in_vain(self, d, listening):
        """As systemd starts it: the socket as descriptor 3, LISTEN_PID its own."""
        script = 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"'
        log = open(d.log_path, "ab")
        self.addCleanup(log.close)

        def prepare():
            die_with_us()
            os.dup2(listening.fileno(), 3)
        return subprocess.run(["sh", "-c", script, "sh", AWAITD, "--user", "--config", d.config,
                               "--state-dir", d.state], env=d.env, stdin=subprocess.DEVNULL,
                              stdout=log, stderr=log, preexec_fn=prepare, pass_fds=(3,),
                              timeout=scaled(30), check=False).returncode

    def test_clients_are_told_why_it_cannot_start(self):
        """Left waiting, each would have systemd start the daemon again, to the same end."""
        d = self.daemon(config="[daemon]\nno_such = 1\n", start=False)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self.addCleanup(listening.close)
        listening.bind(d.socket)
        listening.listen(16)
        listening.setblocking(False)
        clients = [self.client(d) for _ in range(3)]
        for c in clients:
            c.send({"jsonrpc": "2.0", "id": 1, "method": "daemon.info"})
        self.assertEqual(self.start_in_vain(d, listening), 78)
        for c in clients:
            error = json.loads(c.read_line())["error"]
            self.assertIn("cannot start", error["message"])
            self.assertIn("no_such", error["message"])
        with self.assertRaises(BlockingIOError, msg="nobody waits any more"):
            listening.accept()


if __name__ == "__main__":
    main()
