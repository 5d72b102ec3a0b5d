#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The packages agree with the one list of what is needed, and with the version of the sources."""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import lint  # noqa: E402

LIST = "packaging/packages"
CONTROL = "packaging/debian/control"
CHANGELOG = "packaging/debian/changelog"
SPEC = "packaging/awaitd.spec"
# Every build of a Debian package has these (build-essential, and autoconf by debhelper).
IMPLIED = {"gcc", "libc6-dev", "make", "autoconf", "automake"}
# Names that stand for what a package provides.
PROVIDED_BY = {"debhelper-compat": "debhelper", "dh-sequence-installsysusers": "debhelper"}


def groups():
    """group -> its packages, as sh would read them."""
    text = lint.read(LIST)
    return {m.group(1): set(m.group(2).split())
            for m in re.finditer(r'^(\w+)_PACKAGES="([^"]*)"', text, re.M)}


def build_depends():
    field = re.search(r"^Build-Depends:(.*(?:\n[ \t].*)*)", lint.read(CONTROL), re.M)
    names = set()
    for item in field.group(1).split(",") if field else ():
        item = re.sub(r"\(.*?\)|<.*?>|\[.*?\]", "", item).strip()
        if item:
            names.add(PROVIDED_BY.get(item, item))
    return names


def check_depends(report):
    lists, wanted = groups(), build_depends()
    known = set().union(*lists.values())
    for name in sorted(wanted - known):
        report.add(CONTROL, 0, f"builds with {name}, which is not in {LIST}")
    for name in sorted(lists.get("BUILD", set()) - IMPLIED - wanted):
        report.add(CONTROL, 0, f"{name} is missing from Build-Depends; {LIST} has it")


def check_versions(report):
    version = re.search(r"AC_INIT\(\[awaitd\], \[([^]]*)\]\)", lint.read("configure.ac"))
    version = version.group(1) if version else "none"
    first = re.match(r"awaitd \(([^)]*)\)", lint.read(CHANGELOG))
    if not first or first.group(1) != version:
        report.add(CHANGELOG, 1, f"the version of the sources is {version} (configure.ac)")
    spec = re.search(r"^Version:\s*(\S+)", lint.read(SPEC), re.M)
    if not spec or spec.group(1) != version:
        report.add(SPEC, 0, f"the version of the sources is {version} (configure.ac)")


def main():
    report = lint.Report()
    missing = [p for p in (LIST, CONTROL, CHANGELOG, SPEC) if not lint.exists(p)]
    for path in missing:
        report.add(path, 0, "is missing")
    if not missing:
        check_depends(report)
        check_versions(report)
    report.close()


if __name__ == "__main__":
    main()
