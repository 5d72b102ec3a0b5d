#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The service manager's side (passed sockets, READY=1, WATCHDOG=1), and the socket's file."""
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import AWAITD, Client, Gone, TestCase, die_with_us, main, scaled, wait_until
from manager import HAS_SYSTEMD, NotifySocket


class Manager(TestCase):
    @unittest.skipUnless(HAS_SYSTEMD, "built without libsystemd")
    def test_ready_and_stopping(self):
        d = self.daemon(start=False)
        manager = NotifySocket(self, d)
        d.spawn()
        manager.next_with("READY=1")
        with d.client() as c:
            self.assertEqual(c.call("daemon.info")["name"], "awaitd", "ready means it answers")
        d.process.send_signal(signal.SIGTERM)
        manager.next_with("STOPPING=1")
        self.assertEqual(d.wait_exit(), 0)

    @unittest.skipUnless(HAS_SYSTEMD, "built without libsystemd")
    def test_watchdog(self):
        d = self.daemon(start=False)
        manager = NotifySocket(self, d)
        d.env["WATCHDOG_USEC"] = "600000"
        d.spawn()
        manager.next_with("READY=1")
        began = time.monotonic()
        for _ in range(3):
            manager.next_with("WATCHDOG=1")
        self.assertLess(time.monotonic() - began, scaled(1.8), "pinged in time")

    @unittest.skipUnless(HAS_SYSTEMD, "built without libsystemd")
    def test_workers_do_not_get_the_managers_variables(self):
        d = self.daemon(start=False)
        manager = NotifySocket(self, d)
        d.env["WATCHDOG_USEC"] = "60000000"
        d.spawn()
        manager.next_with("READY=1")
        c = self.client(d)
        number = c.call("job.submit", d.shell("env"))["id"]
        self.assert_done(c.wait_one(number))
        names = {line.partition(b"=")[0] for line in c.output(number).splitlines()}
        self.assertEqual(names & {b"NOTIFY_SOCKET", b"WATCHDOG_USEC", b"WATCHDOG_PID",
                                  b"LISTEN_FDS", b"LISTEN_PID"}, set())

    @unittest.skipUnless(HAS_SYSTEMD, "built without libsystemd")
    @unittest.skipUnless(shutil.which("systemd-socket-activate"), "no systemd-socket-activate here")
    def test_socket_activation(self):
        d = self.daemon(start=False)
        path = os.path.join(d.dir, "passed")
        options = [f"--setenv={k}={v}" for k, v in d.env.items()]
        activate = subprocess.Popen(
            ["systemd-socket-activate", "-l", path, *options, AWAITD, "--user", "--state-dir",
             d.state], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=open(d.log_path, "ab"), preexec_fn=die_with_us, env={**os.environ, **d.env})
        d.process = activate  # it becomes the daemon at the first connection

        def connect():
            try:
                return Client(path)
            except OSError:
                return None
        c = wait_until(connect, 10, "the socket takes connections")
        self.addCleanup(c.close)
        self.assertEqual(c.call("daemon.info", timeout=30)["pid"], activate.pid)
        self.assert_done(c.wait_one(c.submit("timer", sleep=0)["id"]))
        inode = os.stat(path).st_ino
        self.assertEqual(d.stop(), 0)
        self.assertEqual(os.stat(path).st_ino, inode, "a passed socket is not ours to remove")


class SocketFile(TestCase):
    def test_mode(self):
        d = self.daemon()
        mode = os.stat(d.socket).st_mode
        self.assertTrue(stat.S_ISSOCK(mode))
        self.assertEqual(stat.S_IMODE(mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(d.state).st_mode), 0o700)

    def test_stale_socket_is_replaced(self):
        d = self.daemon()
        d.kill9()
        self.assertTrue(os.path.exists(d.socket), "a killed daemon leaves its socket")
        d.start()
        self.assertEqual(self.client(d).call("daemon.info")["pid"], d.process.pid)

    def test_a_file_in_its_place_is_not_removed(self):
        d = self.daemon(start=False)
        with open(d.socket, "w", encoding="ascii") as f:
            f.write("precious")
        d.spawn()
        self.assertNotEqual(d.wait_exit(), 0)
        self.assertIn(d.socket, d.log())
        with open(d.socket, encoding="ascii") as f:
            self.assertEqual(f.read(), "precious")

    def test_second_daemon_on_the_same_state(self):
        d = self.daemon()
        p = subprocess.run([AWAITD, "--user", "--socket", d.socket + "2", "--state-dir", d.state],
                           env=d.env, capture_output=True, text=True, timeout=scaled(20),
                           preexec_fn=die_with_us)
        self.assertEqual(p.returncode, 75, p.stderr)
        self.assertIn("state directory", p.stderr)
        with self.assertRaises(OSError):
            Client(d.socket + "2")
        self.assertEqual(self.client(d).call("daemon.info")["pid"], d.pid, "the first is untouched")

    def test_second_daemon_on_the_same_socket(self):
        d = self.daemon()
        p = subprocess.run([AWAITD, "--user", "--socket", d.socket, "--state-dir", d.state + "2"],
                           env=d.env, capture_output=True, text=True, timeout=scaled(20),
                           preexec_fn=die_with_us)
        self.assertNotEqual(p.returncode, 0)
        self.assertEqual(self.client(d).call("daemon.info")["pid"], d.pid, "the first is untouched")

    def test_default_places(self):
        """Without flags: below XDG_RUNTIME_DIR and XDG_STATE_HOME, and awaitctl finds it there."""
        d = self.daemon(start=False)
        log = open(d.log_path, "ab")
        self.addCleanup(log.close)
        d.process = subprocess.Popen([AWAITD, "--user"], env=d.env, stdin=subprocess.DEVNULL,
                                     stdout=log, stderr=log, preexec_fn=die_with_us)
        d.socket = os.path.join(d.env["XDG_RUNTIME_DIR"], "awaitd", "awaitd.sock")

        def answers():
            self.assertIsNone(d.process.poll(), d.log())
            return d.ctl("info", socket_option=False).status == 0
        wait_until(answers, 20, "awaitctl finds the daemon")
        with d.client() as c:
            self.assertEqual(c.call("daemon.info")["state_dir"],
                             os.path.join(d.env["XDG_STATE_HOME"], "awaitd"))

    def test_many_connections(self):
        """At the limit new ones are refused or wait; the ones that are there work on."""
        d = self.daemon()
        c = self.client(d)
        others = []
        for _ in range(400):
            try:
                others.append(d.client())
            except OSError:
                break
        self.addCleanup(lambda: [o.close() for o in others])
        self.assertEqual(c.call("daemon.info")["pid"], d.pid)
        for o in others:
            o.close()

        def answers():
            try:
                with d.client() as again:
                    return again.call("daemon.info")
            except (OSError, Gone):
                return None
        wait_until(answers, 15, "new connections are served again")

    def test_client_that_does_not_read(self):
        """Its replies pile up to a limit; others are served all the while."""
        d = self.daemon()
        c = self.client(d)
        for _ in range(100):
            c.submit("timer", sleep=600, value="x" * 1000)
        deaf = d.client()
        self.addCleanup(deaf.close)
        deaf.sock.setblocking(False)
        line = b'{"jsonrpc":"2.0","id":1,"method":"job.list","params":{"limit":1000}}\n'
        sent = 0
        try:
            for _ in range(20000):
                sent += deaf.sock.send(line)
        except (BlockingIOError, OSError):
            pass
        for _ in range(20):
            began = time.monotonic()
            c.call("daemon.info")
            self.assertLess(time.monotonic() - began, scaled(1))
        self.assertLess(sent, 4 << 20, "the daemon goes on reading from a client that is deaf")


if __name__ == "__main__":
    main()
