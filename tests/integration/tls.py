#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Fetches by https: whom they trust, and what a job hears where they do not."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import HERE, TestCase, WebServer, main

# An authority of our own, which is not kept, and two servers that it has vouched for until 2126.
TLS = os.path.join(HERE, "tls")


def https_server(name):
    pem = os.path.join(TLS, name + ".pem")
    return WebServer("--tls-cert", pem, "--tls-key", pem)


class Tls(TestCase):
    def setUp(self):
        self.here = https_server("here")
        self.addCleanup(self.here.stop)

    def start(self, config="", server=None):
        self.d = self.daemon(config=config)
        self.c = self.client(self.d)
        self.server = server or self.here

    def url(self, path, host="127.0.0.1"):
        return f"https://{host}:{self.server.port}{path}"

    def fetch(self, path, host="127.0.0.1", **keys):
        number = self.c.submit("fetch", url=self.url(path, host), **keys)["id"]
        return self.c.wait_one(number)

    def trusting(self):
        return f"[fetch]\nca_file = {TLS}/ca.pem\n"

    def refused(self, job, *words):
        self.assertEqual(job["outcome"], "failed", job)
        self.assertEqual(job["error"]["code"], "tls", job)
        for word in words:
            self.assertIn(word, job["error"]["message"])

    def test_an_authority_of_our_own(self):
        self.start(self.trusting())
        for host in ("127.0.0.1", "localhost"):
            job = self.fetch("/bytes/1000", host)
            self.assertEqual(job["outcome"], "succeeded", job)
            self.assertEqual(job["result"]["url"], self.url("/bytes/1000", host))

    def test_nobody_is_trusted_unasked(self):
        self.start()
        self.refused(self.fetch("/bytes/10"), "ca_file", f"127.0.0.1 port {self.here.port}")

    def test_another_name(self):
        other = https_server("elsewhere")
        self.addCleanup(other.stop)
        self.start(self.trusting(), other)
        self.refused(self.fetch("/bytes/10"), "check the address")

    def test_insecure(self):
        """One job takes what it gets; the next, on a connection of its own, does not."""
        other = https_server("elsewhere")
        self.addCleanup(other.stop)
        self.start("", other)
        for _ in range(2):
            job = self.fetch("/bytes/1000", insecure=True)
            self.assertEqual((job["outcome"], job["result"]["bytes"]), ("succeeded", 1000))
            self.assertIs(job["spec"]["insecure"], True)
            self.refused(self.fetch("/bytes/1000"))
            self.refused(self.fetch("/bytes/1000", insecure=False))
        r = self.d.ctl("run", "fetch", "--insecure", "--output", "-", self.url("/sha256/3"))
        self.assertEqual((r.status, len(r.out.strip())), (0, 64), r)

    def test_a_verified_connection_is_not_for_the_insecure(self):
        """Nor the other way round: each has connections of its own."""
        self.start(self.trusting())
        for keys in ({}, {"insecure": True}, {}):
            self.assertEqual(self.fetch("/bytes/10", **keys)["outcome"], "succeeded")
        stats = self.c.output(self.fetch("/stats")["id"])
        self.assertIn(b'"connections": 2', stats)

    def test_no_way_back_to_http(self):
        plain = WebServer()
        self.addCleanup(plain.stop)
        self.start(self.trusting())
        job = self.fetch("/redirect-to?url=" + plain.url("/bytes/10"))
        self.assertEqual(job["outcome"], "failed", job)
        self.assertIn("https", job["error"]["message"])

    def test_a_file_that_is_no_certificate(self):
        self.start(f"[fetch]\nca_file = {__file__}\n")
        self.refused(self.fetch("/bytes/10"), "ca_file")

    def test_a_reload_changes_whom_to_trust(self):
        self.start("[fetch]\n")
        self.refused(self.fetch("/bytes/10"))
        self.d.write_config(self.trusting())
        self.assertEqual(self.c.call("daemon.reload"), {"needs_restart": []})
        self.assertEqual(self.fetch("/bytes/10")["outcome"], "succeeded")


if __name__ == "__main__":
    main()
