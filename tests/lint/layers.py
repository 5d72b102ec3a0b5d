#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Who may include whom: folder = layer.  Each library is confined to the place that wraps it."""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import lint  # noqa: E402

# folder -> what its files may include besides their own folder: folders, or single headers
LAYERS = {
    "proto": [],
    "client": ["proto"],
    "daemon/base": ["proto/xalloc.h"],
    "daemon/co": ["daemon/base", "proto/xalloc.h"],
    "daemon/store": ["daemon/base", "daemon/co/loop.h", "proto"],
    "daemon/job": ["daemon/base", "daemon/co", "daemon/store/store.h", "daemon/conf.h",
                   "daemon/log.h", "proto"],
    "daemon/kinds": ["daemon/base", "daemon/co", "daemon/job", "daemon/store/store.h",
                     "daemon/supervisor/msg.h", "daemon/supervisor/tree.h", "daemon/conf.h",
                     "daemon/log.h", "proto"],
    "daemon/supervisor": ["daemon/base", "proto/xalloc.h"],
    "daemon/rpc": ["daemon/base", "daemon/co", "daemon/job", "daemon/store/store.h",
                   "daemon/conf.h", "daemon/log.h", "daemon/notify.h", "daemon/daemon.h",
                   "daemon/rpc/methods", "proto"],
    "daemon/rpc/methods": ["daemon/base", "daemon/co", "daemon/job", "daemon/rpc",
                           "daemon/store/store.h", "daemon/conf.h", "daemon/log.h",
                           "daemon/daemon.h", "daemon/kinds/xfer.h", "proto"],
    "daemon": ["daemon/base", "daemon/co", "daemon/store/store.h", "daemon/job",
               "daemon/kinds/proc.h", "daemon/kinds/workenv.h", "daemon/kinds/xfer.h",
               "daemon/rpc", "proto"],
}

# The job layer's inside; what it shows to others are the headers that are not here.
PRIVATE = {
    "daemon/job/engine_int.h": "daemon/job",
    "daemon/co/coro_private.h": "daemon/co",
    "daemon/store/store_int.h": "daemon/store",
}

# library's header -> files or folders (with / at the end) that may include it
LIBRARIES = {
    r"event2?/|event\.h": ["daemon/co/loop", "daemon/rpc/conn", "daemon/rpc/server"],
    r"sqlite3": ["daemon/store/"],
    r"curl/": ["daemon/kinds/xfer"],
    r"systemd/": ["daemon/notify.c", "daemon/journal.c"],
    r"libsmartcols|libmount|ncurses|curses": ["client/"],
    r"openssl/": ["daemon/kinds/", "daemon/store/"],
    r"ini\.h": ["daemon/conf.c"],
    r"xxhash": ["daemon/store/"],
    r"jansson": ["proto/", "client/", "daemon/"],
    r"valgrind/|sanitizer/": ["daemon/co/"],
    r"check\.h": ["tests/"],
}
# jansson is everywhere in the daemon but in the small programs and the lowest layers
NO_JSON = ("daemon/base/", "daemon/co/", "daemon/supervisor/")


def layer_of(path):
    return os.path.dirname(path)


def may_include(layer, header):
    if os.path.dirname(header) == layer:
        return True
    return any(header == allowed or os.path.dirname(header) == allowed
               for allowed in LAYERS[layer])


def check_project(report, path, number, header):
    layer = layer_of(path)
    if header == "config.h":
        return
    if "/" not in header:
        report.add(path, number, f'"{header}" does not name its layer from the source folder')
        return
    if not lint.exists(header):
        report.add(path, number, f'"{header}" is not in the sources')
        return
    if layer.startswith("tests"):
        return
    if layer not in LAYERS:
        report.add(path, number, f"the folder {layer} is no layer; name it in tests/lint/layers.py")
    elif not may_include(layer, header):
        report.add(path, number, f'{layer} may not include "{header}"')
    elif header in PRIVATE and layer != PRIVATE[header]:
        report.add(path, number, f'"{header}" is private to {PRIVATE[header]}')


def check_library(report, path, number, header):
    if path.startswith("tests/"):
        return
    for pattern, places in LIBRARIES.items():
        if not re.match(pattern, header):
            continue
        if not path.startswith(tuple(places)):
            report.add(path, number, f"<{header}> belongs to {', '.join(places)} alone")
        elif pattern == "jansson" and path.startswith(NO_JSON):
            report.add(path, number, f"{layer_of(path)} knows no JSON")


def main():
    report = lint.Report()
    for path in lint.c_files():
        for number, line in enumerate(lint.without_comments(lint.read(path), True).split("\n"), 1):
            m = re.match(r'\s*#\s*include\s+(["<])([^">]+)[">]', line)
            if m and m.group(1) == '"':
                check_project(report, path, number, m.group(2))
            elif m:
                check_library(report, path, number, m.group(2))
    report.close()


if __name__ == "__main__":
    main()
