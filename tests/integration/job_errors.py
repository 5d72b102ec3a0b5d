#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Jobs that cannot succeed: failed, with the code and a sentence that says what is wrong."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import RpcError, TestCase, main, unused_port


class JobErrors(TestCase):
    def setUp(self):
        self.d = self.daemon()
        self.c = self.client(self.d)

    def end(self, document, timeout=40):
        return self.c.wait_one(self.c.call("job.submit", document)["id"], timeout)

    def assert_failed(self, job, code, **facts):
        self.assert_done(job, "failed")
        error = job["error"]
        self.assertEqual(error["code"], code, error)
        self.assert_sentence(error["message"])
        for name, value in facts.items():
            self.assertEqual(error.get(name), value, error)
        return error

    # ---- fetch

    def fetch(self, url, **keys):
        return {"kind": "fetch", "url": url, **keys}

    def path(self, name):
        return os.path.join(self.d.home, name)

    def assert_no_file(self, name):
        self.assertFalse(os.path.exists(self.path(name)))
        left = [n for _, _, names in os.walk(self.d.home) for n in names if "part" in n]
        self.assertEqual(left, [], "no half a file stays")

    def test_unknown_host(self):
        job = self.end(self.fetch("http://no-such-host.invalid/x", output=self.path("x")))
        error = self.assert_failed(job, "network")
        self.assertIn("no-such-host.invalid", error["message"])
        self.assert_no_file("x")

    def test_refused_connection(self):
        port = unused_port()
        job = self.end(self.fetch(f"http://127.0.0.1:{port}/x", output=self.path("x")))
        error = self.assert_failed(job, "network")
        self.assertIn(str(port), error["message"])
        self.assert_no_file("x")

    def test_404(self):
        web = self.web()
        job = self.end(self.fetch(web.url("/status/404"), output=self.path("x")))
        self.assert_failed(job, "http", status=404)
        self.assert_no_file("x")

    def test_500(self):
        job = self.end(self.fetch(self.web().url("/status/500"), output=self.path("x")))
        self.assert_failed(job, "http", status=500)

    def test_404_that_was_expected(self):
        job = self.end(self.fetch(self.web().url("/status/404"), expect=[404]))
        self.assert_done(job)
        self.assertEqual(job["result"]["status"], 404)

    def test_checksum_mismatch(self):
        job = self.end(self.fetch(self.web().url("/delay/0/x?size=1000"), output=self.path("x"),
                                  checksum="sha256:" + "0" * 64))
        self.assert_failed(job, "checksum")
        self.assert_no_file("x")

    def test_too_large(self):
        job = self.end(self.fetch(self.web().url("/delay/0/x?size=100000"), output=self.path("x"),
                                  max_size="10K"))
        self.assert_failed(job, "too_large")
        self.assert_no_file("x")

    def test_output_exists(self):
        with open(self.path("x"), "w", encoding="ascii") as f:
            f.write("mine")
        job = self.end(self.fetch(self.web().url("/delay/0/x?size=10"), output=self.path("x")))
        error = self.assert_failed(job, "io")
        self.assertIn("x", error["message"])
        with open(self.path("x"), encoding="ascii") as f:
            self.assertEqual(f.read(), "mine")

    def test_overwrite(self):
        with open(self.path("x"), "w", encoding="ascii") as f:
            f.write("mine")
        job = self.end(self.fetch(self.web().url("/delay/0/x?size=10"), output=self.path("x"),
                                  overwrite=True))
        self.assert_done(job)
        self.assertEqual(os.path.getsize(self.path("x")), 10)

    def test_output_is_a_directory(self):
        os.mkdir(self.path("folder"))
        job = self.end(self.fetch(self.web().url("/delay/0/x?size=10"), output=self.path("folder"),
                                  overwrite=True))
        self.assert_failed(job, "io")

    def test_output_below_a_file(self):
        with open(self.path("file"), "w", encoding="ascii"):
            pass
        job = self.end(self.fetch(self.web().url("/delay/0/x?size=10"),
                                  output=self.path("file/x")))
        self.assert_failed(job, "io")

    def test_output_through_a_symlink_out_of_the_root(self):
        os.symlink("/", self.path("way-out"))
        job = self.end(self.fetch(self.web().url("/delay/0/x?size=10"),
                                  output=self.path("way-out" + self.d.dir + "/escaped")))
        self.assert_failed(job, "io")
        self.assertFalse(os.path.exists(os.path.join(self.d.dir, "escaped")))

    def test_output_may_not_be_written(self):
        if os.getuid() == 0:
            self.skipTest("root may write everywhere")
        os.mkdir(self.path("closed"), 0o555)
        job = self.end(self.fetch(self.web().url("/delay/0/x?size=10"),
                                  output=self.path("closed/x")))
        self.assert_failed(job, "io")

    def test_fetch_timeout(self):
        job = self.end(self.fetch(self.web().url("/delay/30/x?size=10"), timeout=0.5))
        self.assert_done(job, "timed_out")
        self.assertEqual(job["error"]["code"], "timeout")

    # ---- worker

    def test_no_such_program(self):
        error = self.assert_failed(self.end(self.d.worker("/no/such/program")), "spawn",
                                   errno="ENOENT")
        self.assertIn("/no/such/program", error["message"])
        self.assertTrue(error["stage"])

    def test_no_such_program_in_path(self):
        error = self.assert_failed(self.end(self.d.worker("no-such-program-anywhere")), "spawn",
                                   errno="ENOENT")
        self.assertIn("no-such-program-anywhere", error["message"])

    def test_not_executable(self):
        path = self.path("plain")
        with open(path, "w", encoding="ascii") as f:
            f.write("#!/bin/sh\nexit 0\n")
        os.chmod(path, 0o644)
        error = self.assert_failed(self.end(self.d.worker(path)), "spawn", errno="EACCES")
        self.assertIn(path, error["message"])

    def test_directory_as_program(self):
        self.assert_failed(self.end(self.d.worker(self.d.home)), "spawn", errno="EACCES")

    def test_not_a_program(self):
        path = self.path("noise")
        with open(path, "wb") as f:
            f.write(b"\0\1\2\3 this is no program")
        os.chmod(path, 0o755)
        self.assert_failed(self.end(self.d.worker(path)), "spawn", errno="ENOEXEC")

    def test_missing_interpreter(self):
        path = self.path("script")
        with open(path, "w", encoding="ascii") as f:
            f.write("#!/no/such/interpreter\n")
        os.chmod(path, 0o755)
        self.assert_failed(self.end(self.d.worker(path)), "spawn", errno="ENOENT")

    def test_no_such_directory(self):
        error = self.assert_failed(self.end(self.d.worker("/bin/true", cwd="/no/such/place")),
                                   "spawn", errno="ENOENT")
        self.assertIn("/no/such/place", error["message"])

    def test_the_longest_strings(self):
        """What is refused at the submit is, to the byte, what Linux would not take."""
        most = 131071
        job = self.end(self.d.worker("/bin/sh", "-c", "echo ${#1}", "sh", "x" * most))
        self.assertEqual(self.c.output(self.assert_done(job)["id"]), b"131071\n")
        job = self.end(self.d.shell("echo ${#LONG}", env={"LONG": "x" * (most - len("LONG="))}))
        self.assertEqual(self.c.output(self.assert_done(job)["id"]), b"131066\n")
        for document, path in (
                (self.d.worker("/bin/true", "x" * (most + 1)), "/argv/1"),
                (self.d.shell("", env={"LONG": "x" * (most + 1 - len("LONG="))}), "/env/LONG")):
            error = self.c.call_error("job.submit", document)
            self.assertEqual((error.code, error.data["path"]), (-32602, path))
            self.assertIn("131071 bytes", error.message)

    def test_exit_status(self):
        job = self.end(self.d.shell("exit 7"))
        self.assert_failed(job, "exit", exit=7)
        self.assertEqual(job["result"]["exit"], 7)

    def test_exit_status_that_counts_as_success(self):
        job = self.assert_done(self.end(self.d.shell("exit 7", success=[0, 7])))
        self.assertEqual(job["result"]["exit"], 7)
        job = self.end(self.d.shell("exit 0", success=[7]))
        self.assert_failed(job, "exit", exit=0)

    def test_signal(self):
        job = self.end(self.d.shell("kill -SEGV $$"))
        self.assert_failed(job, "signal", signal="SIGSEGV")
        self.assertEqual(job["result"]["signal"], "SIGSEGV")
        self.assertIsNone(job["result"]["exit"])

    def test_worker_timeout(self):
        job = self.end(self.d.shell("sleep 60", timeout=0.3))
        self.assert_done(job, "timed_out")
        self.assertEqual(job["error"]["code"], "timeout")
        self.assertEqual(self.d.leftovers(), [])

    def test_worker_timeout_of_one_that_will_not_go(self):
        job = self.end(self.d.shell("trap '' TERM; while :; do sleep 1; done", timeout=0.3,
                                    grace=0.3))
        self.assert_done(job, "timed_out")
        self.assertEqual(self.d.leftovers(), [])

    # ---- seen through the client

    def test_exit_statuses_of_run(self):
        for words, status in ((("/bin/sh", "-c", "exit 7"), 7),
                              (("/bin/sh", "-c", "kill -TERM $$"), 128 + 15),
                              (("/no/such/program",), 127), ((self.d.home,), 126),
                              (("/bin/true",), 0)):
            with self.subTest(words=words):
                r = self.d.ctl("run", "worker", "--", *words)
                self.assertEqual(r.status, status, r)
        r = self.d.ctl("run", "worker", "--timeout", "300ms", "--", "sleep", "60")
        self.assertEqual(r.status, 124, r)

    def test_run_fetch_says_why(self):
        r = self.d.ctl("run", "fetch", f"http://127.0.0.1:{unused_port()}/x")
        self.assertEqual((r.status, r.out), (1, ""), r)
        self.assertTrue(r.err.strip(), "says why")

    def test_wrong_state(self):
        job = self.c.wait_one(self.c.submit("timer", sleep=0)["id"])
        with self.assertRaises(RpcError) as caught:
            self.c.call("job.cancel", {"ids": [job["id"]]})
        self.assertEqual(caught.exception.code, -32002)
        self.assertEqual(caught.exception.word, "wrong_state")
        self.assertEqual(caught.exception.data["outcome"], "succeeded")


if __name__ == "__main__":
    main()
