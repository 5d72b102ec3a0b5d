#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The Debian packages in a real systemd: boots a throw-away one and runs inside.py there.

Usage: tests/package/systemd.py [FOLDER]

FOLDER holds the packages, in two versions (sh packaging/build-deb --also VERSION
makes them); without it they are built first.  Needs root, and the tool
systemd-testbed: the one that $SYSTEMD_TESTBED names, else shared/tools/ beside
the source folder, else in PATH.  Where there is none, or it can boot nothing,
everything is skipped, said aloud, with exit status 77.
"""
import glob
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
SKIP = 77
INCLUDE = "python3"  # for inside.py, in the image that is booted
LIMIT = "420"  # seconds, for all of inside.py


def skip(why):
    print(f"SKIPPED: nothing was tried in a real systemd: {why}", flush=True)
    print("0 passed, 0 failed, 1 skipped", flush=True)
    raise SystemExit(SKIP)


def find_tool():
    candidates = [os.environ.get("SYSTEMD_TESTBED"),
                  os.path.join(TOP, "..", "shared", "tools", "systemd-testbed"),
                  shutil.which("systemd-testbed")]
    for path in candidates:
        if path and os.access(path, os.X_OK):
            return os.path.abspath(path)
    return skip("there is no systemd-testbed; name it with SYSTEMD_TESTBED")


def try_it(tool):
    """Whether it can boot at all here: what fails later is a failure of ours."""
    p = subprocess.run([tool, "-i", INCLUDE, "--", "/bin/true"], stdin=subprocess.DEVNULL,
                       text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if p.returncode != 0:
        skip(f"{tool} cannot boot one (exit status {p.returncode}):\n{p.stdout[-2000:]}")


def build(folder):
    subprocess.run(["sh", os.path.join(TOP, "packaging", "build-deb"), "--quick", "--also",
                    "0.1.0+upgrade", "--build-dir", folder], check=True,
                   stdin=subprocess.DEVNULL)


def version_of(path):
    return os.path.basename(path).split("_")[1]


def packages(folder):
    """(the packages of the lower version, the names of those of the higher one)"""
    lower, higher = [], []
    for name in ("awaitd", "awaitctl"):
        paths = glob.glob(os.path.join(folder, f"{name}_*.deb"))
        if len(paths) != 2:
            raise SystemExit(f"{folder} does not hold {name} in two versions")
        if subprocess.run(["dpkg", "--compare-versions", version_of(paths[0]), "gt",
                           version_of(paths[1])], check=False).returncode == 0:
            paths.reverse()
        lower.append(paths[0])
        higher.append(os.path.basename(paths[1]))
    return lower, higher


def tell(tool, *words):
    """Run it and pass on what it prints, as it comes; gives its status and the last line."""
    with subprocess.Popen([tool, "-i", INCLUDE, *words], stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, errors="replace") as p:
        last = ""
        for line in p.stdout:
            print(line, end="", flush=True)
            last = line.strip() or last
    return p.returncode, last


def show_journal(folder):
    """What the services said, when something went wrong."""
    path = os.path.join(folder, "journal.txt")
    lines = []
    if os.path.exists(path):
        with open(path, encoding="utf-8", errors="replace") as f:
            lines = [line for line in f if "awaitd" in line]
    print("---- the journal, as far as it is about awaitd\n" + "".join(lines[-150:]) + "----",
          flush=True)


def main():
    if os.getuid() != 0:
        skip("that needs root")
    tool = find_tool()
    try_it(tool)
    folder = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="aw-")
    artifacts = tempfile.mkdtemp(prefix="aw-")
    try:
        if len(sys.argv) < 2:
            build(folder)
        first, second = packages(folder)
        status, last = tell(tool, "-t", LIMIT, "-a", artifacts, "-b", f"{TOP}:/src",
                            "-b", f"{folder}:/debs", *first, "--",
                            os.path.join(HERE, "inside.py"), *second)
        if status != 0:
            show_journal(artifacts)
            print(last if " passed, " in last else "0 passed, 1 failed, 0 skipped", flush=True)
    finally:
        shutil.rmtree(artifacts)
        if len(sys.argv) < 2:
            shutil.rmtree(folder)
    raise SystemExit(status)


if __name__ == "__main__":
    main()
