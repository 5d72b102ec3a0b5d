#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The power goes, and only what was synced is left: nothing acknowledged is lost or damaged.

shim.c kills the daemon before a change of its files that is drawn by lot, and image.py
gives the files back as a disk would.  CUTS are strict (20; long: 200): what was not
synced is gone.  MIXED cuts (10; long: 100) keep any sectors of it.  SELFTEST cuts (6;
long: 20) run with synchronous NORMAL: the method has to find losses in half of them.
"""
import contextlib
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
from rig import FaultCase, Rig, how_often
from image import Image
from judge import Lost
from awaitd_test import SEED, main, marked, wait_until

CUTS = how_often("CUTS", 20, 200)
MIXED = how_often("MIXED", 10, 100)
SELFTEST = how_often("SELFTEST", 6, 20)
EPOCH = how_often("EPOCH", 20, 20)
CLIENTS = 4
BIRTHS = 3          # so many cuts of an epoch come while the database is made
BIRTH_CHANGES = 60  # within so many changes
CHANGES = 8000      # the others within so many; some of them most likely during the start
LIFE = 10           # seconds after which the power goes anyway


class PowerCut(FaultCase):
    def setUp(self):
        self.need_shim()

    def test_strict(self):
        self.cuts("strict", CUTS, lambda image, chance: image.strict())

    def test_mixed(self):
        self.cuts("mixed", MIXED, lambda image, chance: image.mixed(chance))

    def test_the_method_finds_losses(self):
        """Were they not synced, the jobs would be gone, and we would see it."""
        chance = random.Random(f"{SEED} self-test")
        n_lossy = n_lost = 0
        for number in range(SELFTEST):
            rig = Rig(self, f"self-test {number}", CLIENTS)
            rig.start_clients()
            try:
                self.cut(rig, chance.randint(CHANGES // 8, CHANGES), FAULT_NORMAL="1")
                rig.judge.look()
            except Lost as e:
                n_lossy += 1
                n_lost += e.n
            rig.end_clients()
            rig.d.remove()
        print(f"\nself-test, synchronous NORMAL: {n_lossy} of {SELFTEST} cuts lost something, "
              f"{n_lost} jobs in all", flush=True)
        self.assertGreaterEqual(2 * n_lossy, SELFTEST)

    def cuts(self, name, n_cuts, choose):
        chance = random.Random(f"{SEED} {name}")
        for first in range(0, n_cuts, EPOCH):
            n = min(EPOCH, n_cuts - first)
            rig = Rig(self, f"{name} {first}", CLIENTS)
            rig.start_clients()
            for number in range(n):
                self.cut(rig, self.moment(chance, number), lambda i: choose(i, chance))
                rig.judge.look()
            rig.d.start()
            rig.end_clients()
            rig.finish()
            print(f"\n{first + n} {name} cuts: {rig.figures()}", flush=True)
            rig.d.remove()

    @staticmethod
    def moment(chance, number):
        if number < BIRTHS:
            return chance.randint(1, BIRTH_CHANGES)
        return int(CHANGES ** chance.random()) if number % 3 == 0 else chance.randint(1, CHANGES)

    def cut(self, rig, at, choose=Image.strict, **faults):
        """One life of the daemon, its end, and the disk as it is found after it."""
        image = Image(rig.d.state)
        log = os.path.join(rig.d.dir, "changes")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(log)
        rig.spawn(FAULT_LOG=log, FAULT_CUT=str(at), FAULT_SYNC_US="300", **faults)
        end = time.monotonic() + LIFE
        wait_until(lambda: not rig.d.is_alive() or time.monotonic() > end, 2 * LIFE, "the cut")
        if rig.d.is_alive():
            rig.d.process.kill()
        self.assertEqual(rig.d.wait_exit(), -9, rig.d.log_tail())
        wait_until(lambda: not marked(rig.d.mark), 15, "a dead machine runs nothing")
        rig.check_clients()
        image.replay(log)
        image.check()
        image.put(choose(image))


if __name__ == "__main__":
    main()
