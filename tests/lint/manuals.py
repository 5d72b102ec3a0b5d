#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Manual pages without a complaint of mandoc, which refer to pages that there are."""
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import lint  # noqa: E402


def check_references(report, page, names):
    for number, line in enumerate(lint.read(page).splitlines(), 1):
        m = re.match(r"\.Xr (await\S+) (\d)", line)
        if m and ".".join(m.groups()) not in names:
            report.add(page, number, f"there is no page {m.group(1)}({m.group(2)})")
        if line.startswith(".Dt ") and line.split()[1:] != os.path.basename(page).upper().rsplit(
                ".", 1):
            report.add(page, number, "the title is not the file's name")


def main():
    report = lint.Report()
    pages = [p for p in lint.files(".1", ".5", ".7", ".8")
             if p.startswith(("client/", "daemon/", "proto/"))]
    if not pages:
        report.add("daemon", 0, "no manual page found")
    for page in pages:
        check_references(report, page, {os.path.basename(p) for p in pages})
    if not shutil.which("mandoc"):
        print("mandoc is not installed: manual pages were not checked")
        pages = []
    for page in pages:
        told = subprocess.run(["mandoc", "-Tlint", "-Wstyle", page], cwd=lint.top(),
                              capture_output=True, text=True).stdout
        for line in told.splitlines():
            # References to pages of other packages cannot be resolved everywhere.
            if not re.search(r"referenced manual not found|outdated mandoc.db", line):
                report.add(page, 0, line)
    report.close()


if __name__ == "__main__":
    main()
