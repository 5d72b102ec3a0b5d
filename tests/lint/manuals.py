#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Manual pages without a complaint of mandoc."""
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import lint  # noqa: E402


def main():
    report = lint.Report()
    pages = [p for p in lint.files(".1", ".5", ".8") if p.startswith(("client/", "daemon/"))]
    if not pages:
        report.add("daemon", 0, "no manual page found")
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
