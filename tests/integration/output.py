#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What workers write and fetches keep: streams, offsets, bytes that are no text, the limit."""
import base64
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import RpcError, TestCase, main, wait_until


def data_of(message):
    if "data_base64" in message:
        return base64.b64decode(message["data_base64"])
    return message["data"].encode()


class Output(TestCase):
    def setUp(self):
        self.d = self.daemon()
        self.c = self.client(self.d)

    def run_shell(self, script, **keys):
        number = self.c.call("job.submit", self.d.shell(script, **keys))["id"]
        self.c.wait_one(number)
        return number

    def read(self, number, **params):
        return self.c.call("job.output", {"id": number, **params})

    def test_streams(self):
        number = self.run_shell("echo one; sleep 0.1; echo two >&2; sleep 0.1; echo three")
        self.assertEqual(self.c.output(number), b"one\ntwo\nthree\n")
        self.assertEqual(self.c.output(number, "stdout"), b"one\nthree\n")
        self.assertEqual(self.c.output(number, "stderr"), b"two\n")

    def test_offsets(self):
        number = self.run_shell("printf 0123456789")
        got = self.read(number)
        self.assertEqual({k: got[k] for k in ("data", "offset", "eof", "dropped")},
                         {"data": "0123456789", "offset": 10, "eof": True, "dropped": 0})
        got = self.read(number, offset=3, limit=4)
        self.assertEqual((got["data"], got["offset"], got["eof"]), ("3456", 7, False))
        got = self.read(number, offset=7)
        self.assertEqual((got["data"], got["offset"], got["eof"]), ("789", 10, True))
        got = self.read(number, offset=10)
        self.assertEqual((got["data"], got["offset"], got["eof"]), ("", 10, True))
        got = self.read(number, offset=1000)
        self.assertEqual((got["data"], got["eof"]), ("", True))

    def test_offsets_count_both_streams(self):
        number = self.run_shell("printf aaaa; sleep 0.1; printf bbbb >&2; sleep 0.1; printf cccc")
        got = self.read(number, stream="stderr")
        self.assertEqual((got["data"], got["eof"]), ("bbbb", True))
        got = self.read(number, stream="stdout", offset=6)
        self.assertEqual((got["data"], got["offset"]), ("cccc", 12))

    def test_no_output(self):
        number = self.run_shell("true")
        got = self.read(number)
        self.assertEqual((got["data"], got["offset"], got["eof"], got["dropped"]),
                         ("", 0, True, 0))
        timer = self.c.submit("timer", sleep=0)["id"]
        self.c.wait_one(timer)
        self.assertEqual(self.c.output(timer), b"")

    def test_not_utf8(self):
        number = self.run_shell(r"printf '\377\376\000ok'")
        got = self.read(number)
        self.assertNotIn("data", got)
        self.assertEqual(base64.b64decode(got["data_base64"]), b"\xff\xfe\0ok")

    def test_text_is_text(self):
        number = self.run_shell("printf 'gr\\303\\274n \\342\\202\\254 \\033[31m\\t\\n'")
        self.assertEqual(self.read(number)["data"], "grün € \x1b[31m\t\n")

    def test_chunks(self):
        number = self.run_shell("i=0; while [ $i -lt 30000 ]; do echo line $i; i=$((i+1)); done")
        wanted = "".join(f"line {i}\n" for i in range(30000)).encode()
        got = self.read(number)
        self.assertEqual(len(data_of(got)), 65536)
        self.assertFalse(got["eof"])
        got = self.read(number, limit=256 * 1024)
        self.assertEqual(data_of(got), wanted[:256 * 1024])
        with self.assertRaises(RpcError) as caught:
            self.read(number, limit=256 * 1024 + 1)
        self.assertEqual(caught.exception.data["path"], "/limit")
        self.assertEqual(self.c.output(number), wanted)

    def test_while_it_runs(self):
        number = self.c.call("job.submit", self.d.shell("echo early; sleep 600"))["id"]
        wait_until(lambda: self.c.output(number) == b"early\n", 10, "the output is there")
        self.assertFalse(self.read(number, offset=6)["eof"])
        self.c.call("job.cancel", {"ids": [number]})
        self.c.wait_one(number)
        self.assertTrue(self.read(number, offset=6)["eof"])

    def follow(self, number, **params):
        """All notifications of a follow and, last, the call's own reply, which has no data."""
        request = self.c.request("job.output", {"id": number, "follow": True, **params})
        last = self.c.reply(request, timeout=60)
        self.assertEqual((last["data"], last["eof"]), ("", True))
        pieces = [n["params"] for n in self.c.notes if n["method"] == "job.output"]
        self.c.notes.clear()
        for piece in pieces:
            self.assertEqual(piece["request"], request)
        return [*pieces, last]

    def test_follow(self):
        number = self.c.call("job.submit", self.d.shell(
            "for i in 1 2 3 4; do echo out $i; echo err $i >&2; sleep 0.1; done"))["id"]
        pieces = self.follow(number)
        self.assertGreater(len(pieces), 2, "it came as it was written")
        whole = b"".join(data_of(p) for p in pieces)
        self.assertEqual(sorted(whole.splitlines()),
                         sorted(f"{s} {i}".encode() for s in ("out", "err") for i in range(1, 5)))
        offsets = [p["offset"] for p in pieces]
        self.assertEqual(offsets, sorted(offsets))
        for p in pieces[:-1]:
            self.assertIn(p["stream"], ("stdout", "stderr"))
        self.assertEqual(self.c.output(number), whole)

    def test_follow_one_stream(self):
        number = self.c.call("job.submit", self.d.shell(
            "for i in 1 2 3; do echo out $i; echo err $i >&2; sleep 0.1; done"))["id"]
        pieces = self.follow(number, stream="stderr")
        self.assertEqual(b"".join(data_of(p) for p in pieces), b"err 1\nerr 2\nerr 3\n")

    def test_follow_what_is_over(self):
        number = self.run_shell("echo all")
        pieces = self.follow(number)
        self.assertEqual(b"".join(data_of(p) for p in pieces), b"all\n")

    def test_follower_that_goes_away(self):
        number = self.c.call("job.submit", self.d.shell(
            "while :; do echo x; sleep 0.02; done"))["id"]
        other = self.d.client()
        other.request("job.output", {"id": number, "follow": True})
        other.note("job.output")
        other.close()
        wait_until(lambda: len(self.c.output(number)) > 20, 10, "the worker goes on")
        self.c.call("job.cancel", {"ids": [number]})
        self.assert_done(self.c.wait_one(number), "cancelled")

    def test_follower_that_does_not_read(self):
        """It is paused or dropped; the worker and other clients do not notice."""
        number = self.c.call("job.submit", self.d.shell(
            "dd if=/dev/zero bs=65536 count=120 2>/dev/null"))["id"]
        other = self.client(self.d)
        other.request("job.output", {"id": number, "follow": True})
        self.assert_done(self.c.wait_one(number))
        self.assertEqual(len(self.c.output(number)), 120 * 65536)

    def test_limit_keeps_head_and_tail(self):
        """Past the limit the middle falls out and is counted; the worker is not held up."""
        size = 30 << 20
        number = self.run_shell(f"head -c 5 /dev/zero | tr '\\0' h; "
                                f"head -c {size} /dev/zero; printf tail")
        data, offset, dropped = b"", 0, 0
        while True:
            got = self.read(number, offset=offset, limit=256 * 1024)
            data += data_of(got)
            dropped += got["dropped"]
            offset = got["offset"]
            if got["eof"]:
                break
        self.assertEqual(offset, size + 9, "offsets count what was dropped")
        self.assertEqual(len(data) + dropped, size + 9)
        self.assertTrue(data.startswith(b"hhhhh") and data.endswith(b"tail"))
        self.assertLessEqual(len(data), 11 << 20)
        self.assertGreater(dropped, 15 << 20)

    def test_fetch_body_without_output(self):
        web = self.web()
        number = self.c.submit("fetch", url=web.url("/bytes/200000"))["id"]
        job = self.assert_done(self.c.wait_one(number))
        body = self.c.output(number)
        self.assertEqual(len(body), 200000)
        import hashlib
        self.assertEqual(job["result"]["sha256"], hashlib.sha256(body).hexdigest())

    def test_attempts(self):
        number = self.run_shell("echo first")
        self.assertEqual(self.read(number, attempt=1)["data"], "first\n")
        with self.assertRaises(RpcError) as caught:
            self.read(number, attempt=2)
        self.assertIn(caught.exception.code, (-32001, -32602))

    def test_removed_with_the_job(self):
        number = self.run_shell("echo gone")
        self.c.call("job.remove", {"ids": [number]})
        with self.assertRaises(RpcError) as caught:
            self.read(number)
        self.assertEqual(caught.exception.word, "not_found")
        with self.assertRaises(RpcError) as caught:
            self.c.get(number)
        self.assertEqual(caught.exception.word, "not_found")

        def files():
            return [os.path.join(folder, name) for folder, _, names in os.walk(self.d.state)
                    for name in names if "output" in folder]
        wait_until(lambda: not files(), 10, "the files are gone")

    def test_stdin_and_environment(self):
        number = self.run_shell('cat; echo "$GREETING $AWAITD_JOB_ID $AWAITD_ATTEMPT"; '
                                'test -n "$AWAITD_IDEMPOTENCY_KEY" && echo key; env',
                                stdin="from stdin\n",
                                env={"GREETING": "hello", "AWTEST_MARK": self.d.mark})
        lines = self.c.output(number).decode().splitlines()
        self.assertEqual(lines[:3], ["from stdin", f"hello {number} 1", "key"])
        names = {line.partition("=")[0] for line in lines[3:]}
        self.assertTrue({"PATH", "HOME", "USER"} <= names, names)
        self.assertEqual([n for n in names if n.startswith(("LD_", "NOTIFY", "LISTEN", "XDG"))], [])

    def test_stdin_is_empty_by_default(self):
        self.assertEqual(self.c.output(self.run_shell("cat; echo end")), b"end\n")

    # ---- awaitctl

    def test_awaitctl_output(self):
        number = str(self.run_shell("echo out; echo err >&2"))
        self.assertEqual(sorted(self.d.ctl("output", number).lines
                                + self.d.ctl("output", number).err.splitlines()), ["err", "out"])
        self.assertEqual(self.d.ctl("output", number, "--stream", "stdout").out, "out\n")
        r = self.d.ctl("output", number, "-f", "--stream", "stderr")
        self.assertEqual((r.status, r.out + r.err), (0, "err\n"))

    def test_awaitctl_output_is_exact(self):
        number = str(self.run_shell("head -c 300000 /dev/urandom | tee copy", cwd=self.d.home))
        with open(os.path.join(self.d.home, "copy"), "rb") as f:
            wanted = f.read()
        r = self.d.ctl("output", number, "--stream", "stdout", text=False)
        self.assertEqual(r.out, wanted)

    def test_awaitctl_output_follows(self):
        number = self.c.call("job.submit", self.d.shell(
            "for i in 1 2 3; do echo $i; sleep 0.1; done"))["id"]
        r = self.d.ctl("output", "-f", str(number))
        self.assertEqual((r.status, r.out), (0, "1\n2\n3\n"), r)

    def test_awaitctl_follows_what_comes_in_drops(self):
        """Lines at all distances: some lengthen what was read already, some come after it."""
        script = ("i=0; while [ $i -lt 200 ]; do i=$((i+1)); echo $i; "
                  "[ $((i % 7)) = 0 ] && echo e$i >&2; sleep 0.00$((i % 9)); done; "
                  "for d in 0.05 0.09 0.1 0.11 0.2; do sleep $d; echo after $d; done")
        wanted = [str(i) for i in range(1, 201)] + \
                 [f"after {d}" for d in ("0.05", "0.09", "0.1", "0.11", "0.2")]
        number = self.c.call("job.submit", self.d.shell(script))["id"]
        r = self.d.ctl("output", "-f", str(number))
        self.assertEqual(r.status, 0, r)
        self.assertEqual([line for line in r.lines if line[0] != "e"], wanted)
        self.assertEqual([line for line in r.lines if line[0] == "e"],
                         [f"e{i}" for i in range(7, 201, 7)])
        # As several readers see it who come at different times.
        self.assertEqual(self.c.output(number, "stdout").decode().splitlines(), wanted)

    def test_run_worker_passes_output_through(self):
        r = self.d.ctl("run", "worker", "--", "/bin/sh", "-c", "echo out; echo err >&2; exit 3")
        self.assertEqual((r.status, r.out, r.err), (3, "out\n", "err\n"))


if __name__ == "__main__":
    main()
