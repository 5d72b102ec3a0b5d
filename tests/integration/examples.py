#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The examples that are installed with the documentation run, and do what they promise."""
import functools
import http.server
import io
import json
import os
import sys
import tarfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import TOP, TestCase, main, parse_time, scaled

EXAMPLES = os.path.join(TOP, "packaging", "examples")
SLACK = 1.5  # seconds more than ideal, scaled


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Examples(TestCase):
    def setUp(self):
        self.d = self.daemon()
        self.tested = set()

    def document(self, name, *servers):
        with open(os.path.join(EXAMPLES, name), encoding="utf-8") as f:
            text = f.read()
        for port, url in servers:
            text = text.replace(f"http://127.0.0.1:{port}", url)
        path = os.path.join(self.d.dir, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def run_example(self, name, *servers):
        """Run it as a person would; gives the final job object and the seconds it took."""
        path = self.document(name, *servers)
        began = time.monotonic()
        r = self.d.ctl("--json", "run", "-f", path)
        seconds = time.monotonic() - began
        return r.json, seconds

    def assert_seconds(self, seconds, ideal):
        self.assertGreaterEqual(seconds, ideal)
        self.assertLess(seconds, ideal + scaled(SLACK))

    def parts(self, job):
        with self.d.client() as c:
            return [c.get(number) for number in job["children"]]

    def test_order(self):
        job, seconds = self.run_example("order.json")
        self.assert_done(job)
        self.assertEqual(job["result"], ["a", "b", "c"])
        self.assert_seconds(seconds, 0.3)
        ends = sorted((parse_time(p["ended_at"]), p["name"]) for p in self.parts(job))
        self.assertEqual([name for _, name in ends], ["b", "a", "c"])

    def check_factorials(self, name, ideal):
        job, seconds = self.run_example(name)
        self.assert_done(job)
        self.assert_seconds(seconds, ideal)
        with self.d.client() as c:
            said = [c.output(number).decode() for number in job["children"]]
        self.assertEqual(said, ["1 x 2\n2 x 3\n3! = 6\n", "1 x 2\n2 x 3\n6 x 4\n4! = 24\n"])

    def test_factorials_one_after_the_other(self):
        self.check_factorials("factorials-sequence.json", 5)

    def test_factorials_side_by_side(self):
        self.check_factorials("factorials-gather.json", 3)

    def test_three_servers(self):
        job, seconds = self.run_example("three-servers.json", (8000, self.web().url("")))
        self.assert_done(job)
        self.assert_seconds(seconds, 3)
        self.assertEqual([r["bytes"] for r in job["result"]], [1000] * 3)

    def archives(self):
        """A server with archives of 1, 2 and 3 files."""
        folder = os.path.join(self.d.dir, "www")
        os.mkdir(folder)
        for n in (1, 2, 3):
            with tarfile.open(os.path.join(folder, f"{n}.tar.gz"), "w:gz") as tar:
                for i in range(n):
                    info = tarfile.TarInfo(f"file{i}")
                    info.size = 5
                    tar.addfile(info, io.BytesIO(b"hello"))
        server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return f"http://127.0.0.1:{server.server_port}"

    def test_archives(self):
        job, _ = self.run_example("archives.json", (8001, self.archives()))
        self.assert_done(job)
        with self.d.client() as c:
            report = c.output(job["children"][-1]).decode()
        self.assertEqual(report, "archive 1: 1 files\narchive 2: 2 files\narchive 3: 3 files\n")

    def test_mirrors(self):
        job, seconds = self.run_example("mirrors.json", (8000, self.web().url("")))
        self.assert_done(job)
        self.assert_seconds(seconds, 0.2)
        self.assertEqual(job["result"]["winner"], 1)
        self.assertEqual([p["outcome"] for p in self.parts(job)], ["cancelled", "succeeded"])

    def test_flaky(self):
        job, _ = self.run_example("flaky.json", (8000, self.web().url("")))
        self.assert_done(job)
        with self.d.client() as c:
            attempts = c.get(job["id"])["attempts"]
        self.assertEqual([a["outcome"] for a in attempts], ["failed", "failed", "succeeded"])
        self.assertEqual([a["error"] and a["error"]["status"] for a in attempts], [503, 503, None])

    def test_timeout(self):
        job, seconds = self.run_example("timeout.json")
        self.assert_done(job, "timed_out")
        self.assertEqual(job["error"]["code"], "timeout")
        self.assert_seconds(seconds, 1)

    def test_none_is_forgotten(self):
        """Each document has a test above."""
        with open(os.path.abspath(__file__), encoding="utf-8") as f:
            text = f.read()
        for name in os.listdir(EXAMPLES):
            if name.endswith(".json"):
                self.assertIn(f'"{name}"', text)
                with open(os.path.join(EXAMPLES, name), encoding="utf-8") as f:
                    json.load(f)


if __name__ == "__main__":
    main()
