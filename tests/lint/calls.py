#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Calls that have no place here, or only one: banned ones, clocks, SQL, no CLOEXEC."""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import lint  # noqa: E402

# name -> why, or what instead; those that speak of CLOEXEC may be called by tests
BANNED = {
    "strcpy": "no bound", "strcat": "no bound", "sprintf": "use snprintf or struct buf",
    "vsprintf": "use vsnprintf", "strtok": "keeps hidden state", "gets": "no bound",
    "atoi": "tells no error", "atol": "tells no error", "atoll": "tells no error",
    "atof": "tells no error", "system": "no shell", "popen": "no shell",
    "sleep": "blocks the loop; co_sleep", "usleep": "blocks the loop; co_sleep",
    "alloca": "no bound on a small stack", "signal": "use sigaction",
    "tmpnam": "races", "mktemp": "races", "getwd": "no bound", "vfork": "use the supervisor",
    "asctime": "static buffer", "ctime": "static buffer", "gmtime": "static buffer",
    "localtime": "static buffer", "strerror_r": "two incompatible ones; strerror",
    "creat": "no CLOEXEC; open", "dup": "no CLOEXEC; fcntl F_DUPFD_CLOEXEC",
    "accept": "no CLOEXEC; accept4", "pipe": "no CLOEXEC; pipe2",
    "epoll_create": "no CLOEXEC; epoll_create1", "inotify_init": "no CLOEXEC; inotify_init1",
    "tmpfile": "no CLOEXEC; memfd_create",
    "json_dumps": "free() is not for its memory (proto/jsonmem.h); buf_json_text",
}

# clocks: only in the one place of each program
CLOCKS = {"clock_gettime", "gettimeofday", "time", "clock", "ftime", "timespec_get"}
CLOCK_FILES = {"daemon/base/now.c", "client/clock.c"}

# What asks databases of users and names, which may be far away: at start-up or on a helper thread
LOOK_UPS = {"getpwuid", "getpwnam", "getgrgid", "getgrnam", "getgrouplist", "getaddrinfo"}
LOOK_UP_FILES = {"daemon/conf.c", "daemon/job/users.c", "daemon/kinds/workenv.c",
                 "daemon/rpc/admins.c", "daemon/rpc/server.c"}

# call -> the flag that must be among its arguments
CLOEXEC = {
    "open": "O_CLOEXEC", "openat": "O_CLOEXEC", "pipe2": "O_CLOEXEC", "dup3": "O_CLOEXEC",
    "socket": "SOCK_CLOEXEC", "socketpair": "SOCK_CLOEXEC", "accept4": "SOCK_CLOEXEC",
    "epoll_create1": "EPOLL_CLOEXEC", "eventfd": "EFD_CLOEXEC", "timerfd_create": "TFD_CLOEXEC",
    "signalfd": "SFD_CLOEXEC", "memfd_create": "MFD_CLOEXEC", "inotify_init1": "IN_CLOEXEC",
    "mkostemp": "O_CLOEXEC",
}

# R1.2: SQLite up to 3.51.2 can ruin a database that two connections write to.  One place opens
# files, and it is called for the store's one connection and for files that are no store yet.
CONNECTIONS = {
    "sqlite3_open": set(), "sqlite3_open16": set(), "sqlite3_open_v2": {"daemon/store/db.c"},
    "db_open": {"daemon/store/db.c", "daemon/store/db.h", "daemon/store/connect.c",
                "daemon/store/backup.c"},
}

SQL = re.compile(r'"\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|PRAGMA|BEGIN|COMMIT|DROP|ALTER)\s',
                 re.I)

# (file, name) that may do it all the same, with the reason
ALLOWED = {
    # The supervisor's child turns descriptors into its own 0, 1 and 2, which must stay open.
    ("daemon/supervisor/spawn.c", "dup3"),
    # The supervisor has one thread and its child calls nothing but system calls: see there.
    ("daemon/supervisor/spawn.c", "vfork"),
}


def arguments(text, start):
    """The text between the parenthesis at @start and its partner."""
    depth = 0
    for at in range(start, len(text)):
        if text[at] == "(":
            depth += 1
        elif text[at] == ")":
            depth -= 1
            if depth == 0:
                return text[start + 1:at]
    return text[start + 1:]


def check(report, path):
    text = lint.without_comments(lint.read(path))
    is_test = path.startswith("tests/")
    for m in re.finditer(r"(?<![\w.>])([a-z_][a-z0-9_]*)\s*\(", text):
        name = m.group(1)
        if (path, name) in ALLOWED:
            continue
        number = text.count("\n", 0, m.start()) + 1
        # "(*signal)(" and a declaration's own name are no calls; nobody declares these here.
        if is_test and (name in CLOEXEC or name in ("fopen", "json_dumps")
                        or "CLOEXEC" in BANNED.get(name, "")):
            continue
        if name in BANNED:
            report.add(path, number, f"{name}(): {BANNED[name]}")
        elif name in CONNECTIONS and path not in CONNECTIONS[name] and not is_test:
            report.add(path, number, f"{name}(): the store has one connection, made in connect.c")
        elif name in CLOCKS and path not in CLOCK_FILES and not is_test:
            places = " and ".join(sorted(CLOCK_FILES))
            report.add(path, number, f"{name}(): clocks are read in {places} alone")
        elif (name.removesuffix("_r") in LOOK_UPS and path.startswith("daemon/")
              and path not in LOOK_UP_FILES):
            report.add(path, number, f"{name}(): blocks; see where users are looked up already")
        elif name in CLOEXEC and CLOEXEC[name] not in arguments(text, m.end() - 1):
            report.add(path, number, f"{name}() without {CLOEXEC[name]}")
        elif name == "fopen":
            whole = lint.without_comments(lint.read(path), True)
            mode = re.search(r'"([^"]*)"\s*$', arguments(whole, m.end() - 1))
            if mode and "e" not in mode.group(1):
                report.add(path, number, 'fopen() without "e" (CLOEXEC) in its mode')


def check_sql(report, path):
    if path.startswith(("daemon/store/", "tests/")):
        return
    for number, line in enumerate(lint.without_comments(lint.read(path), True).split("\n"), 1):
        m = SQL.search(line)
        if m and m.group(1).isupper():
            report.add(path, number, "SQL is spoken in daemon/store alone")


def main():
    report = lint.Report()
    for path in lint.c_files():
        check(report, path)
        check_sql(report, path)
    report.close()


if __name__ == "__main__":
    main()
