#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Each rule can fail: a small tree that breaks one rule at a time, and must be caught at it."""
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SPDX = "/* SPDX-License-Identifier: MIT */\n"
GOOD = SPDX + '#include "config.h"\n\n'


def body(n):
    return GOOD + "void job_f(void)\n{\n" + "\tjob_g();\n" * n + "}\n"


# (rule, path, text, words that the report must have; none: nothing may be reported)
CASES = [
    ("layers", "daemon/job/job.c", GOOD + '#include "daemon/co/loop.h"\n', None),
    ("layers", "daemon/co/loop.c", GOOD + '#include "daemon/job/job.h"\n', "may not include"),
    ("layers", "client/out.c", GOOD + '#include "daemon/job/job.h"\n', "may not include"),
    ("layers", "proto/buf.c", GOOD + '#include "client/out.h"\n', "may not include"),
    ("layers", "daemon/rpc/conn.c", GOOD + '#include "daemon/job/engine_int.h"\n', "private"),
    ("layers", "proto/buf.c", GOOD + '#include "buf.h"\n', "does not name its layer"),
    ("layers", "proto/buf.c", GOOD + '#include "proto/nothing.h"\n', "not in the sources"),
    ("layers", "daemon/job/job.c", GOOD + "#include <sqlite3.h>\n", "belongs to"),
    ("layers", "daemon/store/db.c", GOOD + "#include <sqlite3.h>\n", None),
    ("layers", "daemon/kinds/fetch.c", GOOD + "#include <curl/curl.h>\n", "belongs to"),
    ("layers", "daemon/job/job.c", GOOD + "#include <event2/event.h>\n", "belongs to"),
    ("layers", "daemon/daemon.c", GOOD + "#include <systemd/sd-daemon.h>\n", "belongs to"),
    ("layers", "daemon/log.c", GOOD + "#include <libsmartcols/libsmartcols.h>\n", "belongs to"),
    ("layers", "daemon/co/coro.c", GOOD + "#include <jansson.h>\n", "no JSON"),
    ("calls", "proto/buf.c", GOOD + "int f(void) { return atoi(s); }\n", "atoi"),
    ("calls", "proto/buf.c", GOOD + "/* atoi(s) */ char *t = \"atoi(s)\";\n", None),
    ("calls", "proto/buf.c", GOOD + "int f(void) { return my_atoi(s); }\n", None),
    ("calls", "daemon/log.c", GOOD + "char *f(void) { return json_dumps(v, 0); }\n", "free()"),
    ("calls", "daemon/log.c", GOOD + "int f(void) { return time(NULL); }\n", "clocks"),
    ("calls", "daemon/base/now.c", GOOD + "int f(void) { return time(NULL); }\n", None),
    ("calls", "daemon/log.c", GOOD + "int f(void) { return getpwuid_r(1); }\n", "blocks"),
    ("calls", "daemon/job/users.c", GOOD + "int f(void) { return getpwuid_r(1); }\n", None),
    ("calls", "daemon/log.c", GOOD + "int f(void) { return open(p, O_RDONLY); }\n", "O_CLOEXEC"),
    ("calls", "daemon/log.c", GOOD + "int f(void) { return open(p, O_CLOEXEC); }\n", None),
    ("calls", "daemon/log.c", GOOD + "int f(void) { return socket(a, b, 0); }\n", "SOCK_CLOEXEC"),
    ("calls", "daemon/log.c", GOOD + 'int f(void) { return fopen(p, "r"); }\n', "fopen"),
    ("calls", "daemon/log.c", GOOD + 'int f(void) { return fopen(p, "re"); }\n', None),
    ("calls", "daemon/log.c", GOOD + 'const char *q = "SELECT 1";\n', "SQL"),
    ("calls", "daemon/store/db.c", GOOD + 'const char *q = "SELECT 1";\n', None),
    ("calls", "daemon/store/query.c", GOOD + "int f(void) { return db_open(p, m, &d); }\n",
     "one connection"),
    ("calls", "daemon/store/connect.c", GOOD + "int f(void) { return sqlite3_open_v2(p); }\n",
     "one connection"),
    ("calls", "daemon/store/db.c", GOOD + "int f(void) { return sqlite3_open_v2(p); }\n", None),
    ("shape", "proto/buf.c", body(90), None),
    ("shape", "proto/buf.c", body(101), "job_f() has 103 lines"),
    ("shape", "proto/buf.c", GOOD + "int x;\n" * 900, "lines, at most 800"),
    ("shape", "proto/buf.c", '#include "config.h"\n', "SPDX"),
    ("shape", "proto/buf.c", SPDX + "#include <stdio.h>\n", "config.h"),
    ("shape", "proto/buf.c", GOOD + "int x; " + "/* " + "x" * 100 + " */\n", "columns"),
    ("shape", "proto/buf.c", GOOD + "int x; \n", "white space"),
    ("shape", "proto/buf.c", GOOD + "        int x;\n", "blanks"),
    ("shape", "proto/buf.c", GOOD + "int x; /* TO" + "DO later */\n", "unfinished"),
    ("shape", "proto/buf.c", GOOD + "int x;", "newline"),
    ("shape", "tests/x.py", "#!/usr/bin/env python3\n# SPDX-License-Identifier: MIT\n", None),
    ("shape", "tests/x.py", "#!/usr/bin/env python3\n", "SPDX"),
    ("shape", "packaging/x.bash", "a\n" + "<" * 7 + " HEAD\nb\n", "conflict"),
]

# What tables.py compares, all in agreement; a case changes one of them.
AGREED = {
    "proto/PROTOCOL.md": "`job.get` `sleep` " + " ".join(f"`k{i}`" for i in range(30))
                         + " not_found waiting\n",
    "daemon/rpc/methods/job.c": GOOD + 'const struct rpc_method m = { .name = "job.get" };\n',
    "proto/jobkeys.c": GOOD + 'x = { { NAME("sleep") }, '
                       + ", ".join(f'{{ NAME("k{i}") }}' for i in range(30)) + " };\n",
    "proto/err.c": GOOD + 'x = { [AW_NOT_FOUND] = { "not_found" } };\n',
    "proto/names.c": GOOD + 'x = { [JOB_WAITING] = "waiting" };\n',
    "proto/awaitd-protocol.7": ".It Ic job.get\n.It Cm sleep\n.Cm not_found waiting\n"
                               + "".join(f".It Cm k{i}\n" for i in range(30)),
    "daemon/rpc/methods.c": GOOD + "x = { &method_job_get };\n",
    "client/info.c": GOOD + 'const struct verb info_verb = {\n\t.name = "info",\n};\n',
    "client/verbs.c": GOOD + "x = { &info_verb };\n",
    "client/awaitctl.1": ".It Cm info\n",
    "daemon/conf.c": GOOD + 'conf_settings[] = {\n\t{ "daemon", "stop_timeout", CONF_DURATION, '
                            'AT(x), 0, 1, "20s", true, "" },\n};\n',
    "daemon/awaitd.conf.5": ".It Ic stop_timeout\n",
    "packaging/awaitd.conf": "[daemon]\n#stop_timeout = 20s\n",
    "daemon/main.c": GOOD + 'x = { { "user", no_argument, 0, 0 } };\n',
    "daemon/awaitd.8": ".It Fl -user\n",
}
TABLE_CASES = [
    (None, None, None),
    ("daemon/rpc/methods/job.c", 'const struct rpc_method m = { .name = "job.new" };\n', "job.new"),
    ("proto/PROTOCOL.md", "`job.get` not_found waiting\n", "sleep"),
    ("proto/awaitd-protocol.7", ".It Ic job.get\n", "k29"),
    ("proto/awaitd-protocol.7", ".It Ic job.old\n", "job.old"),
    ("proto/err.c", 'x = { [AW_LOST] = { "lost" } };\n', "lost"),
    ("client/awaitctl.1", ".It Cm stats\n", "info"),
    ("client/verbs.c", "x = { };\n", "info"),
    ("daemon/awaitd.conf.5", ".It Ic other\n", "stop_timeout"),
    ("packaging/awaitd.conf", "[daemon]\n#stop_timeout = 30s\n", "default"),
    ("packaging/awaitd.conf", "[daemon]\n#stop_timeout = 20s\n#extra = 1\n", "extra"),
    ("daemon/awaitd.8", ".It Fl -system\n", "--user"),
]

# The same for packages.py.
PACKAGED = {
    "packaging/packages": 'BUILD_PACKAGES="gcc libevent-dev"\nTEST_PACKAGES="check"\n'
                          'PACKAGE_PACKAGES="debhelper"\n',
    "packaging/debian/control": "Source: awaitd\nBuild-Depends:\n debhelper-compat (= 13),\n"
                                " check <!nocheck>,\n libevent-dev (>= 2),\nStandards: 1\n",
    "packaging/debian/changelog": "awaitd (1.2) unstable; urgency=low\n",
    "packaging/awaitd.spec": "Name: awaitd\nVersion: 1.2\n",
    "configure.ac": "AC_INIT([awaitd], [1.2])\n",
}
PACKAGE_CASES = [
    (None, None, None),
    ("packaging/debian/control", "Build-Depends: debhelper-compat (= 13)\n", "libevent-dev"),
    ("packaging/debian/control", "Build-Depends: libevent-dev, libfoo-dev\n", "libfoo-dev"),
    ("packaging/debian/changelog", "awaitd (1.1) unstable; urgency=low\n", "1.2"),
    ("packaging/awaitd.spec", "Name: awaitd\nVersion: 1.1\n", "1.2"),
]


def write(top, path, text):
    full = os.path.join(top, path)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full, "w", encoding="utf-8") as f:
        f.write(text)


def run(rule, top):
    p = subprocess.run([sys.executable, "-B", os.path.join(HERE, rule + ".py"), top],
                       capture_output=True, text=True)
    return p.returncode, p.stdout + p.stderr


def judge(what, status, told, wanted):
    if wanted is None and status == 0 and not told:
        return 0
    if wanted is not None and status == 1 and wanted in told:
        return 0
    print(f"tests/lint/selftest.py: {what}: wanted {wanted!r}, got status {status}: {told.strip()}")
    return 1


def main():
    n_wrong = 0
    for rule, path, text, wanted in CASES:
        with tempfile.TemporaryDirectory() as top:
            for header in ("daemon/job/job.h", "daemon/job/engine_int.h", "daemon/co/loop.h",
                           "client/out.h"):
                write(top, header, SPDX)
            write(top, path, text)
            n_wrong += judge(f"{rule} {path}", *run(rule, top), wanted)
    for rule, agreed, cases in (("tables", AGREED, TABLE_CASES),
                                ("packages", PACKAGED, PACKAGE_CASES)):
        for path, text, wanted in cases:
            with tempfile.TemporaryDirectory() as top:
                for name, whole in agreed.items():
                    write(top, name, whole)
                if path:
                    write(top, path, text)
                n_wrong += judge(f"{rule} {path}", *run(rule, top), wanted)
    sys.exit(1 if n_wrong else 0)


if __name__ == "__main__":
    main()
