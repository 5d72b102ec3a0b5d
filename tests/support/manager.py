# SPDX-License-Identifier: MIT
"""A datagram socket in the place of systemd's: what the daemon tells its manager."""
import os
import socket
import time

from awaitd_test import AWAITD, Late, scaled

with open(AWAITD, "rb") as program:
    HAS_SYSTEMD = b"sd_notify" in program.read()


class NotifySocket:
    """Made before the daemon starts; it sends its messages here from then on."""

    def __init__(self, case, d):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        case.addCleanup(self.socket.close)
        path = os.path.join(d.dir, "notify")
        self.socket.bind(path)
        d.env["NOTIFY_SOCKET"] = path

    def read(self, end):
        """The lines of the next message, None when none comes before @end."""
        self.socket.settimeout(max(end - time.monotonic(), 0.001))
        try:
            return self.socket.recv(4096).decode().splitlines()
        except socket.timeout:
            return None

    def until(self, line, timeout=20):
        """The messages up to and with the one that has @line, or one that begins so; a list of
        their lines."""
        end, seen = time.monotonic() + scaled(timeout), []
        while True:
            lines = self.read(end)
            if lines is None:
                raise Late(f"no {line} from the daemon, only {seen}")
            seen += lines
            if any(word.startswith(line) for word in lines):
                return seen

    def next_with(self, line, timeout=20):
        """Only that message's lines."""
        end = time.monotonic() + scaled(timeout)
        while True:
            lines = self.read(end)
            if lines is None:
                raise Late(f"no {line} from the daemon")
            if line in lines:
                return lines

    def last_status(self):
        """What the manager would show of a daemon that has ended."""
        found = None
        while True:
            lines = self.read(0)
            if lines is None:
                return found
            found = next((line[7:] for line in lines if line.startswith("STATUS=")), found)
