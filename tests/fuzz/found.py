#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What fuzzing found, many small inputs in one file: a line in hex for each.

  found.py unpack FILE.hex FOLDER    into files, for libFuzzer
  found.py pack FOLDER FILE.hex      and back, the shortest first

To renew one: let the harness merge what it has (fuzz/NAME is where make fuzz
leaves it), then pack that:

  tests/fuzz/NAME -set_cover_merge=1 -max_len=1024 NEW SRCDIR/tests/fuzz/corpus/NAME fuzz/NAME
"""
import hashlib
import os
import sys


def pack(folder, path):
    inputs = set()
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "rb") as f:
            inputs.add(f.read())
    with open(path, "w", encoding="ascii") as f:
        for data in sorted(inputs, key=lambda data: (len(data), data)):
            f.write(data.hex() + "\n")


def unpack(path, folder):
    os.makedirs(folder, exist_ok=True)
    with open(path, encoding="ascii") as f:
        for line in f:
            data = bytes.fromhex(line)
            with open(os.path.join(folder, hashlib.sha1(data).hexdigest()), "wb") as out:
                out.write(data)


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in ("pack", "unpack"):
        sys.exit(__doc__)
    (pack if sys.argv[1] == "pack" else unpack)(*sys.argv[2:])


if __name__ == "__main__":
    main()
