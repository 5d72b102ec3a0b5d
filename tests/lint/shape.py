#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The shape of files: licence line, config.h first, lengths, columns, white space."""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import lint  # noqa: E402

COLUMNS = 100
FILE_LINES = 800
FUNCTION_LINES = 100
TAB = 8

# What is longer than it should be. This list only shrinks.
LONG_FILES = {}  # path -> lines it may have
LONG_FUNCTIONS = {}  # (path, name) -> lines it may have

SCRIPTS = ("packaging/quickstart", "packaging/run-tests", "packaging/install-packages",
           "packaging/build-deb", "packaging/packages", "packaging/awaitd.conf",
           "packaging/awaitd.spec", "packaging/debian/rules", "packaging/debian/awaitd.postrm",
           ".ci/run", "autogen.sh")
LICENSED = (".c", ".h", ".S", ".py", ".sh", ".ac", ".am")
# Words of work put off, taken apart so that this file does not accuse itself.
UNFINISHED = re.compile(r"\b(" + "|".join(a + b for a, b in (
    ("TO", "DO"), ("FIX", "ME"), ("X", "XX"))) + r")\b")


def check_licence(report, path, lines):
    """In the first line; behind #! in scripts."""
    first = lines[1] if lines and lines[0].startswith("#!") and len(lines) > 1 else lines[0]
    if "SPDX-License-Identifier: MIT" not in first:
        report.add(path, 1, "the first line is no SPDX-License-Identifier: MIT")


def check_lines(report, path, lines):
    for number, line in enumerate(lines, 1):
        if len(line.expandtabs(TAB)) > COLUMNS and not path.endswith((".ac", ".am")):
            report.add(path, number, f"{len(line.expandtabs(TAB))} columns, at most {COLUMNS}")
        if line != line.rstrip():
            report.add(path, number, "white space at the end of the line")
        if path.endswith((".c", ".h")) and re.match(r" {8}|\t* +\t", line):
            report.add(path, number, "indented with blanks where a tab belongs")
        if UNFINISHED.search(line):
            report.add(path, number, "unfinished work")


def check_config_first(report, path, lines):
    for number, line in enumerate(lines, 1):
        m = re.match(r'\s*#\s*include\s+(\S+)', line)
        if m:
            if m.group(1) != '"config.h"':
                report.add(path, number, 'the first include is not "config.h"')
            return


def check_lengths(report, path, text):
    lines = text.split("\n")
    n = len(lines) - 1
    most = LONG_FILES.get(path, FILE_LINES)
    if n > most:
        report.add(path, n, f"{n} lines, at most {most}")
    begin, name = None, None
    for number, line in enumerate(lines, 1):
        if line == "{":
            begin = number
            name = function_name(lines, number - 2)
        elif line.startswith("}") and begin is not None:
            length = number - begin + 1
            allowed = LONG_FUNCTIONS.get((path, name), FUNCTION_LINES)
            if length > allowed:
                report.add(path, begin, f"{name}() has {length} lines, at most {allowed}")
            begin = None


def function_name(lines, at):
    """The name in the declaration that ends in line @at."""
    text = ""
    while at >= 0 and lines[at].strip():
        text = lines[at] + " " + text
        m = re.match(r"(?:[\w*]+[\s*]+)*?(\w+)\(", text)
        if m and not lines[at][0].isspace():
            return m.group(1)
        at -= 1
    return "?"


def check_conflicts(report):
    """What a merge leaves behind, in whatever file: scripts of shells are not compiled here."""
    mark = re.compile(r"^(<{7}|>{7}|[|]{7})( |$)", re.M)
    for path in lint.files(""):
        try:
            text = lint.read(path)
        except (UnicodeDecodeError, OSError):
            continue
        for m in mark.finditer(text):
            report.add(path, text.count("\n", 0, m.start()) + 1, "a conflict's mark")


def main():
    report = lint.Report()
    check_conflicts(report)
    c_files = lint.c_files() + lint.files(".S", folders=lint.C_FOLDERS)
    others = lint.files(".py", ".sh", ".ac", ".am") + [s for s in SCRIPTS if lint.exists(s)]
    for path in sorted(set(c_files + others)):
        text = lint.read(path)
        lines = text.split("\n")
        if path.endswith(LICENSED) or path in SCRIPTS:
            check_licence(report, path, lines)
        check_lines(report, path, lines)
        if text and not text.endswith("\n"):
            report.add(path, len(lines), "no newline at the end")
        if path.endswith((".c", ".h")):
            check_lengths(report, path, text)
        if path.endswith(".c"):
            check_config_first(report, path, lines)
    report.close()


if __name__ == "__main__":
    main()
