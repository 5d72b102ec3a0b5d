#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every kind of bad input gets its error, the connection goes on and the daemon stays up.

Each row: a name, the line to send, the code that must answer and, where they
are known, the word in data.code, the pointer in data.path, the reply's id.
"""
import json
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import IS_SLOW, Gone, TestCase, main, scaled

PARSE, REQUEST, METHOD, PARAMS = -32700, -32600, -32601, -32602
NOT_FOUND, WRONG_STATE, LIMIT, UNSUPPORTED = -32001, -32002, -32005, -32008
ANY = object()


def req(method, params=None, **more):
    message = {"jsonrpc": "2.0", "id": 1, "method": method}
    if params is not None:
        message["params"] = params
    message.update(more)
    return json.dumps(message).encode()


def doc(**keys):
    return req("job.submit", keys)


def timer(**keys):
    return doc(kind="timer", **{"sleep": 1, **keys})


def fetch(**keys):
    return doc(kind="fetch", **{"url": "http://127.0.0.1:9/", **keys})


def worker(**keys):
    return doc(kind="worker", **{"argv": ["/bin/true"], **keys})


def nested(levels):
    part = {"kind": "timer", "sleep": 1}
    for _ in range(levels):
        part = {"kind": "sequence", "jobs": [part]}
    return part


# (name, line, code, path or word, id)
LINES = [
    # not JSON
    ("empty object cut off", b"{", PARSE, ANY, None),
    ("plain text", b"hello", PARSE, ANY, None),
    ("single quotes", b"{'jsonrpc':'2.0'}", PARSE, ANY, None),
    ("trailing text", req("daemon.info") + b" x", PARSE, ANY, None),
    ("two values in one line", req("daemon.info") + req("daemon.info"), PARSE, ANY, None),
    ("trailing comma", b'{"jsonrpc":"2.0","id":1,"method":"daemon.info",}', PARSE, ANY, None),
    ("comment", b'{"jsonrpc":"2.0",/* x */"id":1,"method":"daemon.info"}', PARSE, ANY, None),
    ("NaN", b'{"jsonrpc":"2.0","id":1,"method":"job.get","params":{"id":NaN}}', PARSE, ANY, None),
    ("leading zero", b'{"jsonrpc":"2.0","id":01,"method":"daemon.info"}', PARSE, ANY, None),
    ("number out of range", b'{"jsonrpc":"2.0","id":1,"method":"job.get","params":{"id":1e999}}',
     PARSE, ANY, None),
    ("integer beyond 64 bits",
     b'{"jsonrpc":"2.0","id":1,"method":"job.get","params":{"id":99999999999999999999}}',
     PARSE, ANY, None),
    ("bad UTF-8", b'{"jsonrpc":"2.0","id":1,"method":"\xff\xfe"}', PARSE, ANY, None),
    ("overlong UTF-8", b'{"jsonrpc":"2.0","id":1,"method":"\xc0\xaf"}', PARSE, ANY, None),
    ("UTF-8 cut off", b'{"jsonrpc":"2.0","id":1,"method":"\xe2\x82"}', PARSE, ANY, None),
    ("UTF-8 surrogate", b'{"jsonrpc":"2.0","id":1,"method":"\xed\xa0\x80"}', PARSE, ANY, None),
    ("lone surrogate escape", b'{"jsonrpc":"2.0","id":1,"method":"\\ud800"}', PARSE, ANY, None),
    ("byte order mark", b"\xef\xbb\xbf" + req("daemon.info"), PARSE, ANY, None),
    ("raw NUL", b'{"jsonrpc":"2.0","id":1,"method":"a\0b"}', PARSE, ANY, None),
    ("escaped NUL in a string", b'{"jsonrpc":"2.0","id":1,"method":"a\\u0000b"}', PARSE, ANY, None),
    ("escaped NUL in a key", b'{"jsonrpc":"2.0","id":1,"a\\u0000b":1,"method":"daemon.info"}',
     PARSE, ANY, None),
    ("raw control character", b'{"jsonrpc":"2.0","id":1,"method":"a\x01b"}', PARSE, ANY, None),
    ("duplicate key", b'{"jsonrpc":"2.0","id":1,"id":2,"method":"daemon.info"}', PARSE, ANY, None),
    ("duplicate key inside", b'{"jsonrpc":"2.0","id":1,"method":"job.submit",'
     b'"params":{"kind":"timer","sleep":1,"sleep":2}}', PARSE, ANY, None),
    ("65 levels of arrays", b"[" * 65 + b"]" * 65, PARSE, ANY, None),
    ("65 levels inside params", b'{"jsonrpc":"2.0","id":1,"method":"daemon.info","params":'
     + b'{"a":' * 64 + b"1" + b"}" * 64 + b"}", PARSE, ANY, None),
    ("500,000 levels, never closed", b"[" * 500000, PARSE, ANY, None),
    ("200,000 values", b'{"jsonrpc":"2.0","id":1,"method":"daemon.info","params":{"a":['
     + b"1," * 200000 + b"1]}}", PARSE, ANY, None),
    ("300,000 empty objects", b"[" + b"{}," * 300000 + b"{}]", PARSE, ANY, None),
    ("a megabyte of digits", b'{"id":' + b"9" * 1000000 + b"}", PARSE, ANY, None),

    # JSON, but not a request
    ("number", b"42", REQUEST, ANY, None),
    ("string", b'"daemon.info"', REQUEST, ANY, None),
    ("null", b"null", REQUEST, ANY, None),
    ("empty object", b"{}", REQUEST, ANY, None),
    ("empty batch", b"[]", REQUEST, ANY, None),
    ("no jsonrpc", b'{"id":1,"method":"daemon.info"}', REQUEST, ANY, ANY),
    ("jsonrpc 1.0", b'{"jsonrpc":"1.0","id":1,"method":"daemon.info"}', REQUEST, ANY, ANY),
    ("jsonrpc as a number", b'{"jsonrpc":2.0,"id":1,"method":"daemon.info"}', REQUEST, ANY, ANY),
    ("no method", b'{"jsonrpc":"2.0","id":1}', REQUEST, ANY, ANY),
    ("method is a number", b'{"jsonrpc":"2.0","id":1,"method":1}', REQUEST, ANY, ANY),
    ("id is a fraction", b'{"jsonrpc":"2.0","id":1.5,"method":"daemon.info"}', REQUEST, ANY, None),
    ("id is a bool", b'{"jsonrpc":"2.0","id":true,"method":"daemon.info"}', REQUEST, ANY, None),
    ("id is an object", b'{"jsonrpc":"2.0","id":{},"method":"daemon.info"}', REQUEST, ANY, None),
    ("id is 129 bytes long", b'{"jsonrpc":"2.0","id":"' + b"x" * 129
     + b'","method":"daemon.info"}', REQUEST, ANY, None),
    ("params is a number", b'{"jsonrpc":"2.0","id":1,"method":"daemon.info","params":1}',
     ANY, ANY, 1),

    # no such method
    ("unknown method", req("job.explode"), METHOD, ANY, 1),
    ("empty method", req(""), METHOD, ANY, 1),
    ("method in capitals", req("DAEMON.INFO"), METHOD, ANY, 1),
    ("prefix of a method", req("job."), METHOD, ANY, 1),
    ("reserved name", req("rpc.nothing"), METHOD, ANY, 1),
    ("method with a format", req("%s%n%s"), METHOD, ANY, 1),

    # parameters
    ("params is an array", b'{"jsonrpc":"2.0","id":1,"method":"job.get","params":[1]}',
     PARAMS, ANY, 1),
    ("missing parameter", req("job.get", {}), PARAMS, "/id", 1),
    ("missing params", req("job.get"), PARAMS, "/id", 1),
    ("unknown parameter", req("job.get", {"id": 1, "colour": 2}), PARAMS, "/colour", 1),
    ("unknown parameter of info", req("daemon.info", {"x": 1}), PARAMS, "/x", 1),
    ("pointer is escaped", req("daemon.info", {"a/b~c": 1}), PARAMS, "/a~1b~0c", 1),
    ("id is a string", req("job.get", {"id": "1"}), PARAMS, "/id", 1),
    ("id is a real", req("job.get", {"id": 1.5}), PARAMS, "/id", 1),
    ("id is zero", req("job.get", {"id": 0}), ANY, ANY, 1),
    ("ids is no list", req("job.wait", {"ids": 1}), PARAMS, "/ids", 1),
    ("ids is empty", req("job.wait", {"ids": []}), PARAMS, "/ids", 1),
    ("ids has a string", req("job.wait", {"ids": [1, "2"]}), PARAMS, "/ids/1", 1),
    ("1,001 ids", req("job.cancel", {"ids": list(range(1, 1002))}), PARAMS, "/ids", 1),
    ("unknown mode", req("job.wait", {"ids": [1], "mode": "most"}), PARAMS, "/mode", 1),
    ("negative timeout", req("job.wait", {"ids": [1], "timeout": -1}), PARAMS, "/timeout", 1),
    ("timeout is nonsense", req("job.wait", {"ids": [1], "timeout": "soon"}), PARAMS,
     "/timeout", 1),
    ("list limit 0", req("job.list", {"limit": 0}), PARAMS, "/limit", 1),
    ("list limit 1,001", req("job.list", {"limit": 1001}), PARAMS, "/limit", 1),
    ("unknown state", req("job.list", {"state": "asleep"}), PARAMS, ANY, 1),
    ("unknown order", req("job.list", {"order": "name"}), PARAMS, "/order", 1),
    ("damaged cursor", req("job.list", {"after": "nonsense"}), PARAMS, "/after", 1),
    ("grace is too long", req("job.cancel", {"ids": [1], "grace": 3601}), PARAMS, "/grace", 1),
    ("unknown stream", req("job.output", {"id": 1, "stream": "stdlog"}), PARAMS, "/stream", 1),
    ("negative offset", req("job.output", {"id": 1, "offset": -1}), PARAMS, "/offset", 1),
    ("queue limit -1", req("queue.set", {"name": "q", "limit": -1}), PARAMS, "/limit", 1),
    ("empty queue name", req("queue.set", {"name": "", "limit": 1}), PARAMS, "/name", 1),

    # what is not there
    ("unknown job", req("job.get", {"id": 999999}), NOT_FOUND, "not_found", 1),
    ("huge id", req("job.get", {"id": 9223372036854775807}), NOT_FOUND, "not_found", 1),
    ("cancel an unknown job", req("job.cancel", {"ids": [999999]}), NOT_FOUND, "not_found", 1),
    ("wait for an unknown job", req("job.wait", {"ids": [999999]}), NOT_FOUND, "not_found", 1),
    ("output of an unknown job", req("job.output", {"id": 999999}), NOT_FOUND, "not_found", 1),
    ("remove an unknown job", req("job.remove", {"ids": [999999]}), NOT_FOUND, "not_found", 1),
    ("pause an unknown queue", req("queue.pause", {"name": "nowhere"}), NOT_FOUND,
     "not_found", 1),
    ("submit to an unknown queue", worker(queue="nowhere"), NOT_FOUND, "not_found", 1),

    # documents
    ("no kind", doc(sleep=1), PARAMS, "/kind", 1),
    ("unknown kind", doc(kind="cook"), PARAMS, "/kind", 1),
    ("kind is a number", doc(kind=1), PARAMS, "/kind", 1),
    ("unknown key", timer(colour="red"), PARAMS, "/colour", 1),
    ("another kind's key", timer(url="http://x/"), PARAMS, "/url", 1),
    ("timer without sleep", doc(kind="timer"), PARAMS, "/sleep", 1),
    ("fetch without url", doc(kind="fetch"), PARAMS, "/url", 1),
    ("worker without argv", doc(kind="worker"), PARAMS, "/argv", 1),
    ("timer in a queue", timer(queue="worker"), PARAMS, "/queue", 1),
    ("on_lost on a timer", timer(on_lost="retry"), PARAMS, "/on_lost", 1),
    ("negative sleep", timer(sleep=-1), PARAMS, "/sleep", 1),
    ("sleep of eleven years", timer(sleep="11y"), PARAMS, "/sleep", 1),
    ("sleep of 1e300", timer(sleep=1e300), PARAMS, "/sleep", 1),
    ("sleep is a list", timer(sleep=[1]), PARAMS, "/sleep", 1),
    ("sleep is null", timer(sleep=None), PARAMS, "/sleep", 1),
    ("unknown unit", timer(sleep="3 moons"), PARAMS, "/sleep", 1),
    ("delay and at", timer(delay=1, at="2030-01-01T00:00:00Z"), PARAMS, ANY, 1),
    ("time without offset", timer(at="2030-01-01T00:00:00"), PARAMS, "/at", 1),
    ("second 60", timer(at="2030-01-01T00:00:60Z"), PARAMS, "/at", 1),
    ("30 February", timer(at="2030-02-30T00:00:00Z"), PARAMS, "/at", 1),
    ("name of 256 bytes", timer(name="x" * 256), PARAMS, "/name", 1),
    ("name with a newline", timer(name="a\nb"), PARAMS, "/name", 1),
    ("tags is a string", timer(tags="a"), PARAMS, "/tags", 1),
    ("tag is a number", timer(tags=["a", 1]), PARAMS, "/tags/1", 1),
    ("priority 1,001", timer(priority=1001), PARAMS, "/priority", 1),
    ("priority is a real", timer(priority=0.5), PARAMS, "/priority", 1),
    ("empty key", timer(key=""), PARAMS, "/key", 1),
    ("grace of two hours", worker(grace="2h"), PARAMS, "/grace", 1),
    ("unknown on_lost", worker(on_lost="weep"), PARAMS, "/on_lost", 1),
    ("empty argv", worker(argv=[]), PARAMS, "/argv", 1),
    ("argv is a string", worker(argv="/bin/true"), PARAMS, "/argv", 1),
    ("argv with a number", worker(argv=["/bin/echo", 1]), PARAMS, "/argv/1", 1),
    ("argv with 128 KiB", worker(argv=["/bin/echo", "x" * (128 * 1024)]), PARAMS, "/argv/1", 1),
    ("environment with 128 KiB", worker(env={"A": "x" * (128 * 1024 - 2)}), PARAMS, "/env/A", 1),
    ("environment AWAITD_X", worker(env={"AWAITD_X": "1"}), PARAMS, "/env/AWAITD_X", 1),
    ("environment LD_PRELOAD", worker(env={"LD_PRELOAD": "x"}), PARAMS, "/env/LD_PRELOAD", 1),
    ("environment name with =", worker(env={"A=B": "1"}), PARAMS, "/env/A=B", 1),
    ("environment value 1", worker(env={"A": 1}), PARAMS, "/env/A", 1),
    ("success is a string", worker(success="0"), PARAMS, "/success", 1),
    ("success 256", worker(success=[256]), PARAMS, "/success/0", 1),
    ("ftp", fetch(url="ftp://127.0.0.1/x"), PARAMS, "/url", 1),
    ("file", fetch(url="file:///etc/passwd"), PARAMS, "/url", 1),
    ("url without a host", fetch(url="http://"), PARAMS, "/url", 1),
    ("url with a newline", fetch(url="http://127.0.0.1/\r\nX: y"), PARAMS, "/url", 1),
    ("output outside", fetch(output="/etc/passwd"), PARAMS, "/output", 1),
    ("output with ..", fetch(output="a/../../b"), PARAMS, "/output", 1),
    ("checksum too short", fetch(checksum="sha256:abcd"), PARAMS, "/checksum", 1),
    ("checksum of another kind", fetch(checksum="md5:" + "0" * 32), PARAMS, "/checksum", 1),
    ("expect 1000", fetch(expect=[1000]), PARAMS, ANY, 1),
    ("expect backwards", fetch(expect=["299-200"]), PARAMS, ANY, 1),
    ("header with a newline", fetch(headers={"X": "a\r\nY: b"}), PARAMS, "/headers/X", 1),
    ("header name with a colon", fetch(headers={"X:": "a"}), PARAMS, "/headers/X:", 1),
    ("resume as text", fetch(resume="yes"), PARAMS, "/resume", 1),
    ("insecure as text", fetch(insecure="yes"), PARAMS, "/insecure", 1),
    ("size with an unknown unit", fetch(max_size="10 bananas"), PARAMS, "/max_size", 1),
    ("second document is bad", req("job.submit_many", {"jobs": [
        {"kind": "timer", "sleep": 1}, {"kind": "timer", "sleep": -1}]}), PARAMS,
     "/jobs/1/sleep", 1),
    ("jobs is no list", req("job.submit_many", {"jobs": {}}), PARAMS, "/jobs", 1),

    ("umask that is a number", worker(umask=18), PARAMS, "/umask", 1),
    ("umask that is not octal", worker(umask="0o22"), PARAMS, "/umask", 1),
    ("nice out of range", worker(nice=20), PARAMS, "/nice", 1),
    ("limits that are a list", worker(limits=[1]), PARAMS, "/limits", 1),
    ("a limit that is none", worker(limits={"cpus": 1}), PARAMS, "/limits/cpus", 1),
    ("no processor time", worker(limits={"cpu": 0}), PARAMS, "/limits/cpu", 1),
    ("memory with an unknown unit", worker(limits={"memory": "1Q"}), PARAMS, "/limits/memory", 1),
    ("no files", worker(limits={"files": 0}), PARAMS, "/limits/files", 1),
    ("less than no output", worker(limits={"output": -1}), PARAMS, "/limits/output", 1),

    # compositions, needs and references
    ("a need that is not there", timer(needs=[1, 987654]), NOT_FOUND, "/needs/0", 1),
    ("a part's need that is not there", doc(kind="gather", jobs=[
        {"kind": "timer", "sleep": 1}, {"kind": "timer", "sleep": 1, "needs": [987654]}]),
     NOT_FOUND, "/jobs/1/needs/0", 1),
    ("bad part", doc(kind="gather", jobs=[{"kind": "timer", "sleep": 1}] * 3 +
                     [{"kind": "worker", "argv": []}]), PARAMS, "/jobs/3/argv", 1),
    ("bad part of a part", doc(kind="race", jobs=[{"kind": "sequence", "jobs": [
        {"kind": "timer", "sleep": "x"}]}]), PARAMS, "/jobs/0/jobs/0/sleep", 1),
    ("unknown key in a part", doc(kind="race", jobs=[{"kind": "timer", "sleep": 1, "x/y": 1}]),
     PARAMS, "/jobs/0/x~1y", 1),
    ("no parts", doc(kind="race", jobs=[]), PARAMS, "/jobs", 1),
    ("too many parts", doc(kind="gather", jobs=[{"kind": "timer", "sleep": 1}] * 10001), LIMIT,
     "/jobs", 1),
    ("too deep", doc(**nested(17)), LIMIT, "/jobs/0" * 16, 1),
    ("key of a part", doc(kind="race", jobs=[{"kind": "timer", "sleep": 1, "key": "k"}]), PARAMS,
     "/jobs/0/key", 1),
    ("needs itself", req("job.submit_many", {"jobs": [
        {"kind": "timer", "sleep": 1}, {"kind": "timer", "sleep": 1, "needs": ["@1"]}]}), PARAMS,
     "/jobs/1/needs/0", 1),
    ("needs a later one", req("job.submit_many", {"jobs": [
        {"kind": "timer", "sleep": 1, "needs": ["@1"]}, {"kind": "timer", "sleep": 1}]}), PARAMS,
     "/jobs/0/needs/0", 1),
    ("reference to nobody", worker(argv=["echo", "${a:/x}"]), PARAMS, "/argv/1", 1),
    ("reference in a name", timer(name="${a:/x}"), PARAMS, "/name", 1),
    ("schedule", req("schedule.list"), UNSUPPORTED, "unsupported", 1),
]


class BadInput(TestCase):
    def setUp(self):
        self.d = self.daemon()
        self.c = self.client(self.d)

    def check_error(self, reply, code, where, number):
        self.assertEqual(reply.get("jsonrpc"), "2.0", reply)
        self.assertNotIn("result", reply)
        self.assertIn("id", reply)
        if number is not ANY:
            self.assertEqual(reply["id"], number, reply)
        error = reply["error"]
        if code is not ANY:
            self.assertEqual(error["code"], code, error)
        else:
            self.assertIn(error["code"], (REQUEST, PARAMS, NOT_FOUND), error)
        self.assertTrue(error["message"], error)
        if where is ANY:
            return
        if where.startswith("/"):
            self.assertEqual(error["data"]["path"], where, error)
        else:
            self.assertEqual(error["data"]["code"], where, error)

    def test_table_on_one_connection(self):
        self.assertGreaterEqual(len(LINES), 60)
        self.assertEqual(len({row[0] for row in LINES}), len(LINES), "names are unique")
        pid = self.c.call("daemon.info")["pid"]
        for name, line, code, where, number in LINES:
            with self.subTest(name):
                self.c.send_line(line)
                reply = self.c.read()
                self.assertIsInstance(reply, dict)
                self.check_error(reply, code, where, number)
                self.assertEqual(self.c.call("daemon.info")["pid"], pid, "the connection goes on")
        self.assertTrue(self.d.is_alive())
        self.assertEqual(self.c.list_all(), [], "nothing of this was accepted")

    def test_table_in_one_burst(self):
        """The same without waiting for replies: one answer each, whatever the order."""
        lines = [row for row in LINES if len(row[1]) < 100000]
        self.c.send_raw(b"".join(row[1] + b"\n" for row in lines))
        codes = sorted(self.c.read()["error"]["code"] for _ in lines)
        self.assertEqual(len(codes), len(lines))
        self.assertEqual(self.c.call("daemon.info")["pid"], self.d.pid)

    def test_line_too_long(self):
        self.c.send_raw(b'{"jsonrpc":"2.0","id":1,"method":"')
        try:
            self.c.send_raw(b"x" * (1 << 20))
            self.c.send_raw(b'"}\n')
        except OSError:
            pass  # closed before it had everything, which it may
        reply = self.c.read()
        self.check_error(reply, LIMIT, "limit", None)
        with self.assertRaises(Gone):
            self.c.read_line()
        self.assertEqual(self.client(self.d).call("daemon.info")["pid"], self.d.pid)

    def test_line_too_long_behind_others(self):
        """What was sent before it takes effect, and is answered before the refusal."""
        lines = [req("job.submit", {"kind": "timer", "sleep": 0}, id=number)
                 for number in range(1, 9)]
        self.c.send_raw(b"".join(line + b"\n" for line in lines))
        try:
            self.c.send_raw(b"x" * (1 << 20) + b"x\n")
        except OSError:
            pass
        replies = [self.c.read() for _ in range(len(lines) + 1)]
        self.check_error(replies.pop(), LIMIT, "limit", None)
        self.assertEqual(sorted(r["id"] for r in replies), list(range(1, 9)))
        self.assertEqual([r.get("error") for r in replies], [None] * len(lines))
        with self.assertRaises(Gone):
            self.c.read_line()

    def test_line_of_just_a_mebibyte(self):
        """The limit counts the newline; a line that fits is served."""
        front = b'{"jsonrpc":"2.0","id":1,"method":"job.submit","params":{"kind":"timer",' \
                b'"sleep":0,"value":"'
        back = b'"}}\n'
        self.c.send_raw(front + b"x" * ((1 << 20) - len(front) - len(back)) + back)
        self.assertEqual(self.c.read()["result"]["kind"], "timer")

    def test_endless_line_without_newline(self):
        """The daemon gives up on it, and keeps none of what still comes."""
        piece = b"x" * 65536
        end = time.monotonic() + scaled(15)
        self.c.sock.settimeout(scaled(15))
        with self.assertRaises(OSError, msg="the connection is closed"):
            while time.monotonic() < end:
                self.c.sock.sendall(piece)
        with open(f"/proc/{self.d.pid}/status", encoding="ascii") as f:
            peak = int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1))
        if not IS_SLOW:
            self.assertLess(peak, 100 << 10, "KiB of memory at most")
        self.assertEqual(self.client(self.d).call("daemon.info")["pid"], self.d.pid)

    def test_blank_lines_and_carriage_returns(self):
        """An empty line is no request either; what answers it must not stop the rest."""
        self.c.send_raw(b"\n \n" + req("daemon.info", id=7) + b"\n")
        replies = [self.c.read()]
        while replies[-1].get("id") != 7:
            replies.append(self.c.read())
        for reply in replies[:-1]:
            self.assertEqual(reply["error"]["code"], PARSE)
        self.c.send_raw(req("daemon.info", id=8) + b"\r\n")
        self.assertEqual(self.c.read()["id"], 8)

    def test_a_line_in_single_bytes(self):
        for byte in req("daemon.info", id=9) + b"\n":
            self.c.send_raw(bytes([byte]))
        self.assertEqual(self.c.read()["id"], 9)

    def test_ids_come_back_as_they_are(self):
        for number in (0, -1, 9007199254740993, -9223372036854775808, "", "x" * 128, "ä\n\"", None):
            with self.subTest(id=number):
                self.c.send({"jsonrpc": "2.0", "id": number, "method": "daemon.info"})
                reply = self.c.read()
                self.assertEqual(reply["id"], number)
                self.assertIs(type(reply["id"]), type(number))
                self.assertIn("result", reply)

    def test_notifications_are_not_answered(self):
        self.c.notify("daemon.info")
        self.c.notify("job.explode")
        self.c.notify("job.get", {"id": "no"})
        self.c.notify("job.submit", {"kind": "timer", "sleep": 0, "value": "quiet"})
        self.assertEqual(self.c.call("daemon.info")["pid"], self.d.pid)
        self.assertEqual((self.c.replies, self.c.notes), ({}, []))
        jobs = self.c.list_all()
        self.assertEqual([j["kind"] for j in jobs], ["timer"], "its work was done")

    def batch(self, *messages):
        self.c.send(list(messages))
        return self.c.read()

    def test_batch(self):
        def ask(number, method, params=None):
            return {"jsonrpc": "2.0", "id": number, "method": method,
                    **({"params": params} if params else {})}
        replies = self.batch(ask(1, "daemon.info"), ask("b", "job.explode"), 5, {},
                             {"jsonrpc": "2.0", "method": "daemon.info"},
                             ask(3, "job.get", {"id": 999999}))
        self.assertIsInstance(replies, list)
        by_id = {r["id"]: r for r in replies if r["id"] is not None}
        self.assertEqual(sorted(by_id, key=str), [1, 3, "b"])
        self.assertIn("result", by_id[1])
        self.assertEqual(by_id["b"]["error"]["code"], METHOD)
        self.assertEqual(by_id[3]["error"]["code"], NOT_FOUND)
        self.assertEqual([r["error"]["code"] for r in replies if r["id"] is None],
                         [REQUEST, REQUEST])

    def test_batch_of_notifications_is_not_answered(self):
        self.c.send([{"jsonrpc": "2.0", "method": "daemon.info"}] * 3)
        self.assertEqual(self.c.call("daemon.info")["pid"], self.d.pid)

    def test_batch_of_numbers(self):
        replies = self.batch(1, 2, 3)
        self.assertEqual([r["error"]["code"] for r in replies], [REQUEST] * 3)

    def test_batch_in_a_batch(self):
        replies = self.batch([{"jsonrpc": "2.0", "id": 1, "method": "daemon.info"}])
        self.assertEqual([r["error"]["code"] for r in replies], [REQUEST])

    def test_batch_of_1000_and_1001(self):
        ask = {"jsonrpc": "2.0", "method": "daemon.info"}
        replies = self.batch(*({**ask, "id": n} for n in range(1000)))
        self.assertEqual(sorted(r["id"] for r in replies), list(range(1000)))
        self.assertTrue(all("result" in r for r in replies))
        reply = self.batch(*({**ask, "id": n} for n in range(1001)))
        self.assertIsInstance(reply, dict, "one error for the whole")
        self.assertIn(reply["error"]["code"], (REQUEST, LIMIT))
        self.assertEqual(self.c.call("daemon.info")["pid"], self.d.pid)

    def test_deepest_that_is_allowed(self):
        """The request and its params are two levels; 62 more fit."""
        value = 1
        for _ in range(62):
            value = [value]
        job = self.c.submit("timer", sleep=0, value=value)
        self.assertEqual(self.c.wait_one(job["id"])["result"], value)

    def test_requests_take_effect_in_order(self):
        """Pipelined on one connection: a submit is seen by the list right behind it."""
        for _ in range(20):
            self.c.request("job.submit", {"kind": "timer", "sleep": 0})
        number = self.c.request("job.list", {})
        self.assertEqual(len(self.c.reply(number)["jobs"]), 20)


if __name__ == "__main__":
    main()
