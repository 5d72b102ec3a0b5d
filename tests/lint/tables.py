#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tables against documents: what the code has is documented, what is documented the code has."""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import lint  # noqa: E402

PROTOCOL = "proto/PROTOCOL.md"
SUMMARY = "proto/awaitd-protocol.7"


def words(text):
    return set(re.findall(r"[\w.]+", text))


def plain(mdoc):
    """A manual page without its markup's escapes."""
    return mdoc.replace("\\-", "-").replace("\\&", "")


def methods():
    """name -> (file, line) of the method descriptors."""
    found = {}
    for path in lint.files(".c", folders=["daemon/rpc"]):
        text = lint.without_comments(lint.read(path), True)
        for m in re.finditer(r'\.name\s*=\s*"((?:daemon|job|queue|events|rpc)\.\w+)"', text):
            found[m.group(1)] = (path, text.count("\n", 0, m.start()) + 1)
    return found


def check_methods(report):
    table = methods()
    if not table:
        report.add("daemon/rpc", 0, "no method descriptor found; has their form changed?")
        return
    text = lint.read(PROTOCOL)
    for name, (path, number) in sorted(table.items()):
        if not re.search(rf"^#+ `?{re.escape(name)}\b|`{re.escape(name)}`", text, re.M):
            report.add(path, number, f"{name} is not in {PROTOCOL}")


def check_summary(report):
    """The manual page of the protocol: methods, keys of jobs and words of errors."""
    page = plain(lint.read(SUMMARY))
    listed = re.findall(r"^\.It Ic ([a-z]+\.[a-z_]+)", page, re.M)
    for name, (path, number) in sorted(methods().items()):
        if name not in listed:
            report.add(path, number, f"{name} is not in {SUMMARY}")
    planned = lint.read("daemon/rpc/methods.c")
    for name in listed:
        if name not in methods() and f'"{name}"' not in planned:
            report.add(SUMMARY, 0, f"there is no method {name}")
    for name, number in sorted(job_keys().items()):
        if name not in words(page):
            report.add("proto/jobkeys.c", number, f"the key {name} is not in {SUMMARY}")
    source = lint.without_comments(lint.read("proto/err.c"), True)
    for m in re.finditer(r'\[(?!AW_OK\b)AW_\w+\]\s*=\s*\{?\s*"([a-z_]+)"', source):
        if m.group(1) not in words(page):
            report.add("proto/err.c", source.count("\n", 0, m.start()) + 1,
                       f"the word {m.group(1)} is not in {SUMMARY}")


def job_keys():
    text = lint.without_comments(lint.read("proto/jobkeys.c"), True)
    found = {}
    for m in re.finditer(r'(?:\bNAME|\bLATER)\(\s*"(\w+)"|\{\s*"(\w+)"\s*,\s*JK_'
                         r'|\.name\s*=\s*"(\w+)"', text):
        name = m.group(1) or m.group(2) or m.group(3)
        found[name] = text.count("\n", 0, m.start()) + 1
    return found


def check_job_keys(report):
    table = job_keys()
    if len(table) < 30:
        report.add("proto/jobkeys.c", 0, "hardly any key found; has the table's form changed?")
    text = lint.read(PROTOCOL)
    for name, number in sorted(table.items()):
        if not re.search(rf"`{re.escape(name)}`", text):
            report.add("proto/jobkeys.c", number, f"the key {name} is not in {PROTOCOL}")


def check_limits_and_words(report):
    """Every error's word and number, every state, outcome and reason stands in the protocol."""
    text = words(lint.read(PROTOCOL))
    for path in ("proto/err.c", "proto/names.c"):
        source = lint.without_comments(lint.read(path), True)
        for m in re.finditer(r'\[(?!AW_OK\b)(?:AW|JOB|ON)_\w+\]\s*=\s*\{?\s*"([a-z_]+)"', source):
            if m.group(1) not in text:
                report.add(path, source.count("\n", 0, m.start()) + 1,
                           f"the word {m.group(1)} is not in {PROTOCOL}")


def verbs():
    found = {}
    for path in lint.files(".c", folders=["client"]):
        text = lint.without_comments(lint.read(path), True)
        for m in re.finditer(r'struct verb \w+_verb\s*=\s*\{\s*\.name\s*=\s*"([\w-]+)"', text):
            found[m.group(1)] = (path, text.count("\n", 0, m.start()) + 1)
    return found


def check_verbs(report):
    table = verbs()
    if not table:
        report.add("client", 0, "no verb found; has the descriptors' form changed?")
        return
    page = plain(lint.read("client/awaitctl.1"))
    listed = set(re.findall(r"&(\w+)_verb\b", lint.read("client/verbs.c")))
    for name, (path, number) in sorted(table.items()):
        if not re.search(rf"^\.(?:It\s+)?(?:Cm|Ic|Sy|Ss|Nm|Xo)\b.*\b{name}\b", page, re.M):
            report.add(path, number, f"the command {name} is not in client/awaitctl.1")
        if name.replace("-", "_") not in listed:
            report.add(path, number, f"the command {name} is not listed in client/verbs.c")


def settings():
    text = lint.without_comments(lint.read("daemon/conf.c"), True)
    table = text[text.find("conf_settings[] = {"):]
    table = table[:table.find("\n};")]
    found = []
    for m in re.finditer(r'\{\s*"(\w+)",\s*"(\w+)",\s*CONF_\w+,[^"]*"([^"]*)"', table):
        number = text.count("\n", 0, text.find(m.group(0))) + 1
        found.append((m.group(1), m.group(2), m.group(3), number))
    return found


def check_settings(report):
    table = settings()
    if not table:
        report.add("daemon/conf.c", 0, "no setting found; has the table's form changed?")
        return
    page, shipped = plain(lint.read("daemon/awaitd.conf.5")), lint.read("packaging/awaitd.conf")
    in_file = {}
    section = None
    for line in shipped.split("\n"):
        m = re.match(r"\[(\w+)\]|#?(\w+) =(?: (.*))?$", line)
        if m and m.group(1):
            section = m.group(1)
        elif m:
            in_file[section, m.group(2)] = m.group(3) or ""
    for section, name, value, number in table:
        if not re.search(rf"^\.It Ic {name}\b", page, re.M):
            report.add("daemon/conf.c", number, f"{name} is not in daemon/awaitd.conf.5")
        if (section, name) not in in_file:
            report.add("daemon/conf.c", number, f"{name} is not in packaging/awaitd.conf")
        elif in_file.pop((section, name)) != value:
            report.add("packaging/awaitd.conf", 0, f"the default of {name} is {value}")
    known = {name for _, name, _, _ in table}
    for section, name in in_file:
        report.add("packaging/awaitd.conf", 0, f"there is no setting [{section}] {name}")
    for name in re.findall(r"^\.It Ic (\w+)", page, re.M):
        if name not in known:
            report.add("daemon/awaitd.conf.5", 0, f"there is no setting {name}")


def check_options(report):
    """The daemon's options in its manual page."""
    text = lint.without_comments(lint.read("daemon/main.c"), True)
    page = plain(lint.read("daemon/awaitd.8"))
    for m in re.finditer(r'\{\s*"([a-z-]+)",\s*(?:no|required|optional)_argument', text):
        if not re.search(rf"^\.It Fl -{m.group(1)}\b|^\.It .*Fl -{m.group(1)}\b", page, re.M):
            report.add("daemon/main.c", text.count("\n", 0, m.start()) + 1,
                       f"--{m.group(1)} is not in daemon/awaitd.8")


def main():
    report = lint.Report()
    for check, needed in ((check_methods, PROTOCOL), (check_job_keys, PROTOCOL),
                          (check_limits_and_words, PROTOCOL), (check_summary, SUMMARY),
                          (check_verbs, "client/awaitctl.1"),
                          (check_settings, "daemon/awaitd.conf.5"),
                          (check_options, "daemon/awaitd.8")):
        if lint.exists(needed):
            check(report)
        else:
            report.add(needed, 0, "is missing")
    report.close()


if __name__ == "__main__":
    main()
