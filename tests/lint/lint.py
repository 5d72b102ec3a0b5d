# SPDX-License-Identifier: MIT
"""What the source rules share: the files, their text without comments, the report.

A rule is a script beside this one.  It takes the source folder as its only
argument (else the one it lies in), prints one line "FILE:LINE: what is wrong"
for each offender and exits 1 if there was any.
"""
import os
import re
import sys

C_FOLDERS = ("client", "daemon", "proto", "tests")
SKIPPED = {".git", "_build", "autom4te.cache", "build-aux", "m4", "__pycache__", "corpus",
           ".deps", "debian"}


def top():
    here = os.path.dirname(os.path.abspath(__file__))
    return os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "..", ".."))


def files(*endings, folders=None):
    """Paths below the source folder, relative to it, that end with one of @endings."""
    base, found = top(), []
    for folder in folders or [""]:
        for path, names_of_folders, names in os.walk(os.path.join(base, folder)):
            names_of_folders[:] = sorted(
                n for n in names_of_folders
                # a build folder inside the tree, whatever it is called
                if n not in SKIPPED and not os.path.exists(os.path.join(path, n, "config.status")))
            found += [os.path.relpath(os.path.join(path, n), base) for n in sorted(names)
                      if n.endswith(endings) and not n.startswith((".#", "#"))]
    return [f for f in found if f != "config.h"]


def c_files():
    return files(".c", ".h", folders=C_FOLDERS)


def read(path):
    with open(os.path.join(top(), path), encoding="utf-8") as f:
        return f.read()


def exists(path):
    return os.path.exists(os.path.join(top(), path))


def without_comments(text, keep_strings=False):
    """C text with comments and the inside of literals blanked, lines kept as they are numbered."""
    def blank(m):
        piece = m.group(0)
        if piece.startswith("/"):
            return re.sub(r"[^\n]", " ", piece)
        if keep_strings:
            return piece
        return piece[0] + " " * (len(piece) - 2) + piece[-1]
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text,
                  flags=re.S)


class Report:
    def __init__(self):
        self.n = 0

    def add(self, path, line, text):
        self.n += 1
        print(f"{path}:{line}: {text}" if line else f"{path}: {text}")

    def close(self):
        """The end of the script: exit status 1 if there was any offender."""
        sys.exit(1 if self.n else 0)
