# SPDX-License-Identifier: MIT
"""What a power cut leaves of a directory, from what shim.c wrote down.

Two rules, as POSIX has them and no file system promises more:
  - the bytes and the size of a file are safe as of its last sync
  - its name is safe as of the last sync of the directory, so a file that was
    made, renamed or removed after that is where it was before

strict() gives exactly that.  mixed() adds what may have got to the disk by
chance: of the bytes any sectors of 512, of the names any first part of the
changes (directories are journalled in order everywhere).

Records: C create, R rename (old/new), U unlink, W write, T truncate, G grow
(allocate), S sync of a file, D sync of the directory, F a sync that failed.
"""
import os
import struct

RECORD = struct.Struct("<c3xIQQQ")
SECTOR = 512


class File:
    """The bytes that are safe, and the changes since."""

    def __init__(self, data=b""):
        self.safe = bytearray(data)
        self.pending = []
        self.seen = None  # what a process sees, when that will never be safe

    def change(self, *change):
        self.pending.append(change)
        if self.seen is not None:
            apply(self.seen, *change)

    def sync(self):
        for change in self.pending:
            apply(self.safe, *change)
        self.pending = []

    def fail(self):
        """A sync failed: the kernel keeps the pages, calls them clean, and never writes them."""
        self.seen = self.live()
        self.pending = []

    def live(self):
        """As a process that reads it would see it."""
        if self.seen is not None:
            return self.seen
        data = bytearray(self.safe)
        for change in self.pending:
            apply(data, *change)
        return data

    def mixed(self, chance):
        """Some sectors of what was not synced."""
        data, share = bytearray(self.safe), chance.random()
        for op, at, piece in self.pending:
            if op != "W":
                if chance.random() < share:
                    apply(data, op, at, piece)
                continue
            end = at + len(piece)
            while at < end:
                n = min(SECTOR - at % SECTOR, end - at)
                if chance.random() < share:
                    apply(data, "W", at, piece[len(piece) - (end - at):][:n])
                at += n
        return data


def apply(data, op, at, piece):
    if op == "W":
        if len(data) < at:
            data.extend(bytes(at - len(data)))
        data[at:at + len(piece)] = piece
    elif op == "G":
        data.extend(bytes(max(0, at - len(data))))
    else:
        del data[at:]
        data.extend(bytes(at - len(data)))


def rename_in(names, op, old, new):
    """A change of names, done to a dictionary of them."""
    if op == "C":
        names[old] = new
    elif op == "R":
        names[new] = names.pop(old)
    else:
        names.pop(old)


class Image:
    def __init__(self, folder):
        """As it lies there, and everything is safe."""
        self.folder = folder
        self.inodes, self.safe_names = {}, {}
        for name, path in files_in(folder):
            with open(path, "rb") as f:
                self.inodes[os.stat(path).st_ino] = self.safe_names[name] = File(f.read())
        self.names = dict(self.safe_names)
        self.pending_names = []
        self.n_records = 0

    def replay(self, log):
        with open(log, "rb") as f:
            data = memoryview(f.read())
        at = 0
        while at + RECORD.size <= len(data):
            op, n_name, n_data, inode, where = RECORD.unpack_from(data, at)
            at += RECORD.size
            name = bytes(data[at:at + n_name]).decode()
            at += n_name
            if at + n_data > len(data):
                break  # killed while it was written down, so before the call returned
            self.take(op.decode(), inode, name, where, data[at:at + n_data])
            at += n_data

    def take(self, op, inode, name, where, piece):
        self.n_records += 1
        if op == "S":
            self.inodes[inode].sync()
        elif op == "F":
            if inode in self.inodes:
                self.inodes[inode].fail()
        elif op == "D":
            self.safe_names, self.pending_names = dict(self.names), []
        elif op in "WTG":
            self.inodes[inode].change(op, where, piece)
        else:
            new = None
            if op == "C":
                new = self.inodes[inode] = File()
            elif op == "R":
                name, new = name.split("/")
            self.pending_names.append((op, name, new))
            rename_in(self.names, op, name, new)

    def check(self):
        """Was everything written down?  What we believe is there must be what is there."""
        real = dict(files_in(self.folder))
        if sorted(real) != sorted(self.names):
            raise AssertionError(f"the shim missed a name: {sorted(real)} and "
                                 f"{sorted(self.names)}")
        for name, path in real.items():
            with open(path, "rb") as f:
                if f.read() != self.names[name].live():
                    raise AssertionError(f"the shim missed a write to {name}")

    def strict(self):
        return {name: file.safe for name, file in self.safe_names.items()}

    def mixed(self, chance):
        names = dict(self.safe_names)
        for change in self.pending_names[:chance.randint(0, len(self.pending_names))]:
            rename_in(names, *change)
        return {name: file.mixed(chance) for name, file in names.items()}

    def put(self, contents):
        """Let the directory be as after the cut; its folders stay."""
        for _, path in files_in(self.folder):
            os.unlink(path)
        for name, data in contents.items():
            path = os.path.join(self.folder, name)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as f:
                f.write(data)


def files_in(folder):
    if not os.path.isdir(folder):
        return []
    return [(e.name, e.path) for e in os.scandir(folder) if e.is_file(follow_symlinks=False)]
