#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a worker may use: processor time, memory, open files, output that is kept.

Whatever costs time here is counted in processor time: a slow machine takes longer, and no more.
"""
import os
import resource
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import RpcError, TestCase, children, main

BURN = "while :; do :; done"
MIB = 1 << 20


class Limits(TestCase):
    def setUp(self):
        self.d = self.daemon(config="")
        self.c = self.client(self.d)

    def end(self, document):
        return self.c.wait_one(self.c.call("job.submit", document)["id"], timeout=100)

    def shell(self, script, **limits):
        return self.end(self.d.shell(script, limits=limits))

    def python(self, script, **limits):
        return self.end(self.d.worker(sys.executable, "-ISc", script, limits=limits))

    def failed(self, job, code, *words, **facts):
        error = self.assert_done(job, "failed")["error"]
        self.assertEqual(error["code"], code, error)
        self.assert_sentence(error["message"])
        for word in words:
            self.assertIn(word, error["message"])
        for name, value in facts.items():
            self.assertEqual(error[name], value, error)
        return error

    # ---- processor time

    def test_cpu(self):
        job = self.shell(BURN, cpu=1)
        self.failed(job, "signal", "limits.cpu", "(1 s)", signal="SIGXCPU")
        self.assertEqual((job["result"]["exit"], job["result"]["signal"]), (None, "SIGXCPU"))

    def test_cpu_is_in_whole_seconds(self):
        job = self.shell("ulimit -St; ulimit -Ht", cpu="1001ms")
        self.assert_done(job)
        self.assertEqual(job["spec"]["limits"], {"cpu": 1.001})
        self.assertEqual(self.c.output(job["id"]), b"2\n3\n")

    def test_cpu_of_what_a_shell_runs(self):
        self.failed(self.shell(f"sh -c '{BURN}'; exit $?", cpu=1), "exit", "limits.cpu",
                    exit=128 + signal.SIGXCPU)

    def test_cpu_of_who_does_not_heed_it(self):
        self.failed(self.shell(f"trap '' XCPU; {BURN}", cpu=1), "signal", "limits.cpu",
                    "SIGXCPU", signal="SIGKILL")

    def test_cpu_is_each_process_own(self):
        job = self.python("import os, time\n"
                          "for _ in range(3):\n"
                          "    if os.fork() == 0:\n"
                          "        while time.process_time() < 0.4: pass\n"
                          "        os._exit(0)\n"
                          "    assert os.wait()[1] == 0\n", cpu=1)
        self.assert_done(job)
        self.assertGreater(job["result"]["user_time"] + job["result"]["system_time"], 1)

    def test_a_signal_of_another_reason(self):
        error = self.failed(self.shell("kill -KILL $$", cpu=1000), "signal", signal="SIGKILL")
        self.assertNotIn("limits", error["message"])

    def test_cpu_and_retry(self):
        """It is a failure like others: tried again where the document says so."""
        job = self.end(self.d.shell(f"[ $AWAITD_ATTEMPT -gt 1 ] || {BURN}", limits={"cpu": 1},
                                    retry={"max": 1, "delay": 0, "on": "signal"}))
        self.assertEqual(self.assert_done(job)["attempt"], 2)

    # ---- memory

    ALLOCATE = f"try:\n    bytearray({1024 * MIB})\nexcept MemoryError:\n    print('refused')"

    def test_memory(self):
        job = self.assert_done(self.python(self.ALLOCATE, memory="512M"))
        self.assertEqual(self.c.output(job["id"]), b"refused\n")
        self.assertEqual(job["spec"]["limits"], {"memory": 512 * MIB})
        job = self.assert_done(self.python(self.ALLOCATE, memory="8G"))
        self.assertEqual(self.c.output(job["id"]), b"")

    def test_memory_for_nothing_at_all(self):
        self.failed(self.shell("true", memory="64K"), "signal", "limits.memory", "65536")
        document = self.d.worker("/bin/true", "x" * 100000, limits={"memory": "64K"})
        self.failed(self.end(document), "spawn", "limits.memory", stage="exec", errno="E2BIG")

    # ---- open files

    OPEN = ("import os\n"
            "try:\n"
            "    while True: last = os.open('/dev/null', os.O_RDONLY)\n"
            "except OSError as e: print(last, e.errno)\n")

    def test_files(self):
        job = self.assert_done(self.python(self.OPEN, files=50))
        self.assertEqual(self.c.output(job["id"]), b"49 24\n")
        job = self.assert_done(self.shell("ulimit -Sn; ulimit -Hn", files=50))
        self.assertEqual(self.c.output(job["id"]), b"50\n50\n", "it cannot raise it")

    def test_more_files_than_the_setting(self):
        if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 1025:
            self.skipTest("we may not have more than the setting's 1024 ourselves")
        job = self.assert_done(self.shell("ulimit -Sn", files=1025))
        self.assertEqual(self.c.output(job["id"]), b"1025\n")

    def refused(self, document, path):
        with self.assertRaises(RpcError) as caught:
            self.c.call("job.submit", document)
        e = caught.exception
        self.assertEqual((e.code, e.data["path"]), (-32602, path))
        self.assertIn("400", e.message)
        self.assertIn("LimitNOFILE", e.message)

    def test_more_files_than_the_daemon(self):
        """Said at the submit; where only the results say it, before the start."""
        resource.prlimit(self.d.pid, resource.RLIMIT_NOFILE, (400, 400))
        good, bad = (self.d.shell("true", limits={"files": n}) for n in (400, 401))
        self.assert_done(self.end(good))
        self.refused(bad, "/limits/files")
        self.refused({"kind": "gather", "jobs": [good, bad]}, "/jobs/1/limits/files")
        first = {"kind": "timer", "name": "first", "sleep": 0, "value": 401}
        late = self.d.shell("true", limits={"files": "${first:}"})
        job = self.end({"kind": "sequence", "jobs": [first, late]})
        error = self.c.get(job["children"][1])["error"]
        self.assertEqual((error["code"], error["pointer"]), ("needs", "/limits/files"), error)

    def test_more_files_than_there_are_at_the_start(self):
        supervisor, = children(self.d.pid)
        resource.prlimit(supervisor, resource.RLIMIT_NOFILE, (400, 400))
        self.failed(self.shell("true", files=401), "spawn", "limits.files", "LimitNOFILE",
                    stage="limits", errno="EPERM")

    # ---- output

    WRITE = "print(''.join(f'{n:7}\\n' for n in range(100000)), end='')"  # 800,000 bytes
    WHOLE = "".join(f"{n:7}\n" for n in range(100000)).encode()

    def kept(self, job):
        """What is kept in front of the gap and behind it; what is missing."""
        pieces, offset, dropped = [b""], 0, 0
        while True:
            got = self.c.call("job.output", {"id": job["id"], "offset": offset})
            if got["dropped"]:
                pieces.append(b"")
            dropped += got["dropped"]
            pieces[-1] += got["data"].encode()
            offset = got["offset"]
            if got["eof"]:
                return pieces, dropped

    def assert_bounded(self, job, most):
        (head, tail), dropped = self.kept(self.assert_done(job))
        self.assertLessEqual(len(head) + len(tail), most)
        self.assertGreater(min(len(head), len(tail)), most // 4, "about half of it each")
        self.assertEqual(len(head) + dropped + len(tail), len(self.WHOLE))
        self.assertTrue(self.WHOLE.startswith(head) and self.WHOLE.endswith(tail))

    def test_output(self):
        for limit, most in ((10000, 10000), ("64K", 65536)):
            with self.subTest(limit):
                self.assert_bounded(self.python(self.WRITE, output=limit), most)

    def test_no_output_at_all(self):
        job = self.assert_done(self.python(self.WRITE, output=0))
        pieces, dropped = self.kept(job)
        self.assertEqual((b"".join(pieces), dropped), (b"", len(self.WHOLE)))
        self.assertNotIn("could be kept", self.d.log(), "that is no fault of the disk")

    def test_output_is_not_more_than_the_setting(self):
        self.d.write_config("[worker]\noutput_limit = 8K\n")
        self.c.call("daemon.reload", {})
        self.assert_bounded(self.python(self.WRITE, output="1G"), 8192)
        self.assert_bounded(self.python(self.WRITE), 8192)

    # ---- the client

    def test_options(self):
        p = self.d.ctl("run", "worker", "--limits-cpu", "1", "--", "sh", "-c", BURN)
        self.assertEqual(p.status, 128 + signal.SIGXCPU, p)
        self.assertIn("limits.cpu", p.err)
        p = self.d.ctl("--json", "run", "worker", "--limits-memory=1G", "--limits-files", "99",
                       "--limits-output", "1M", "--limits-cpu", "1h", "--", "true")
        self.assertEqual(p.status, 0, p)
        self.assertEqual(p.json["spec"]["limits"],
                         {"cpu": 3600, "memory": 1024 * MIB, "files": 99, "output": MIB})


if __name__ == "__main__":
    main()
