#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""HTTP fault server for awaitd's tests and its quick start.

Listens on 127.0.0.1, prints "READY PORT" as soon as it accepts connections and
then answers every path below in its own bad (or good) way.  Python 3.9 or
newer and nothing else is needed; one process carries thousands of slow
connections at once.

paths (SIZE, RATE, N in bytes or plain numbers; S in seconds, fractions allowed;
every path with a body takes ?seed=, so the same URL always has the same bytes):

  /bytes/SIZE            a body of SIZE bytes with Content-Length; knows Range,
                         If-Range and has an ETag; ?type= is its Content-Type
  /chunked/SIZE          the same bytes, chunked (?chunk= bytes at a time)
  /sha256/SIZE           the SHA-256 of those bytes in hex
  /delay/S/ANY           waits S seconds, then answers ?size= bytes (1000)
  /slow                  ?size= bytes (1000) at ?rate= bytes per second (100)
  /stall                 ?after= bytes (10) of ?size= (1000), then nothing more
  /hang                  takes the request and never answers
  /status/CODE           answers CODE with a short body; ?size= for a longer one
  /redirect/N/REST       N redirects, then REST (with the query); ?status= (302)
  /redirect-loop         redirects to itself for ever
  /redirect-to           redirects to ?url= with ?status= (302)
  /echo                  method, path, headers and body of the request as JSON
  /basic-auth/USER/PASS  401 without these credentials
  /fail/N/NAME           503 the first N times NAME is asked for, then 200
  /count/NAME            how often NAME was asked for, this time included
  /empty                 closes the connection without a word
  /close                 closes in the middle of a chunked body (?size= of it sent)
  /short                 promises ?size= bytes (1000) and closes after half of them
  /part/NAME             ?size= bytes (100,000), of which the first ?cuts= answers (1) send
                         only ?after= (half of them) and then ?end=: close, stall; knows
                         Range and If-Range as far as ?rest= says: yes, no (always a 200),
                         blind (to If-Range), other (another range), slice (a part of the
                         rest), less (says it is of a smaller whole), star (tells no size),
                         gone (416), gzip, untagged, long (one byte too many, chunked); ?tag= is
                         strong, weak, date, fresh (a date of now), none; from the answer
                         ?change= (none) on it is another body
  /asked/NAME            [Range, If-Range] of each request for /part/NAME as JSON
  /reset                 sends ?after= bytes (0) of a body, then resets (RST)
  /garbage               answers something that is not HTTP
  /gzip-bomb             ?size= zero bytes (100 MiB) as Content-Encoding: gzip
  /headers-flood         ?n= header lines (10,000) of ?length= bytes each (100)
  /stats                 {"requests", "connections", "open", "peak"} as JSON
"""

import argparse
import asyncio
import base64
import functools
import gzip
import hashlib
import json
import random
import resource
import signal
import socket
import struct
import sys
import urllib.parse
from http import HTTPStatus

HEAD_MAX = 256 * 1024
BODY_MAX = 64 * 1024 * 1024
BLOCK = 1048573  # a prime: a block that lands in the wrong place changes the sum
PIECE = 256 * 1024


@functools.lru_cache(maxsize=32)
def block(seed):
    return random.Random(seed).randbytes(BLOCK)


def body_bytes(start, end, seed):
    """Bytes start ... end of the endless body that belongs to seed."""
    data = block(seed)
    at = start % BLOCK
    if at + end - start <= BLOCK:
        return data[at:at + end - start]
    out = bytearray()
    while start < end:
        at = start % BLOCK
        piece = data[at:at + end - start]
        out += piece
        start += len(piece)
    return bytes(out)


@functools.lru_cache(maxsize=256)
def body_sum(size, seed):
    total = hashlib.sha256()
    for at in range(0, size, PIECE):
        total.update(body_bytes(at, min(at + PIECE, size), seed))
    return total.hexdigest()


@functools.lru_cache(maxsize=4)
def zero_gzip(size):
    return gzip.compress(bytes(size), 6)


class Bad(Exception):
    """The request makes no sense; the text goes into a 400."""


class Request:
    def __init__(self, head):
        lines = head.decode("latin-1").split("\r\n")
        try:
            self.method, self.target, self.version = lines[0].split(" ")
        except ValueError:
            raise Bad("bad request line") from None
        self.fields = []
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon:
                raise Bad("bad header line")
            self.fields.append((name, value.strip()))
        self.headers = {name.lower(): value for name, value in self.fields}
        path, _, self.query_text = self.target.partition("?")
        self.path = urllib.parse.unquote(path)
        self.parts = path.strip("/").split("/")
        self.body = b""

    @functools.cached_property
    def query(self):
        pairs = urllib.parse.parse_qsl(self.query_text, keep_blank_values=True)
        return dict(pairs)

    def number(self, name, otherwise, kind=int):
        return kind(self.query.get(name, otherwise))

    @property
    def seed(self):
        return self.query.get("seed", "1")

    @property
    def keeps_alive(self):
        asked = self.headers.get("connection", "").lower()
        return asked != "close" and self.version == "HTTP/1.1"


class Stats:
    def __init__(self):
        self.requests = self.connections = self.open = self.peak = 0
        self.counts = {}
        self.asked = {}

    def count(self, name):
        self.counts[name] = self.counts.get(name, 0) + 1
        return self.counts[name]


stats = Stats()


class Connection(asyncio.Protocol):
    """One client: parses requests, one at a time, and lets a handler answer."""

    def __init__(self):
        self.buffer = bytearray()
        self.request = None  # the one that is being answered
        self.missing = 0  # bytes of its body still to come
        self.task = None
        self.can_write = asyncio.Event()
        self.can_write.set()

    # ---- asyncio's side ----

    def connection_made(self, transport):
        self.transport = transport
        stats.connections += 1
        stats.open += 1
        stats.peak = max(stats.peak, stats.open)

    def connection_lost(self, exc):
        stats.open -= 1
        self.can_write.set()
        if self.task:
            self.task.cancel()

    def pause_writing(self):
        self.can_write.clear()

    def resume_writing(self):
        self.can_write.set()

    def data_received(self, data):
        self.buffer += data
        if not self.request or self.missing:
            self.next_request()

    # ---- requests ----

    def next_request(self):
        try:
            if self.request is None and not self.take_head():
                return
            if self.take_body():
                self.answer()
        except (Bad, ValueError, ZeroDivisionError, IndexError) as e:
            self.transport.write(simple_head(400, 0, "text/plain", close=True))
            self.transport.close()
            print("bad request:", e, file=sys.stderr)

    def take_head(self):
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self.buffer) > HEAD_MAX:
                raise Bad("head too long")
            return False
        request = Request(bytes(self.buffer[:end]))
        del self.buffer[:end + 4]
        if "transfer-encoding" in request.headers:
            raise Bad("no chunked requests here")
        self.missing = int(request.headers.get("content-length", "0"))
        if not 0 <= self.missing <= BODY_MAX:
            raise Bad("body too long")
        self.request = request
        return True

    def take_body(self):
        if self.missing > len(self.buffer):
            return False
        self.request.body = bytes(self.buffer[:self.missing])
        del self.buffer[:self.missing]
        self.missing = 0
        return True

    def answer(self):
        stats.requests += 1
        handler = HANDLERS.get(self.request.parts[0], not_found)
        waits = handler(self, self.request)
        if waits is None:
            self.finish()
        else:
            self.task = asyncio.get_running_loop().create_task(self.run(waits))

    async def run(self, waits):
        try:
            await waits
        except ConnectionResetError:
            return
        except (Bad, ValueError, ZeroDivisionError, IndexError) as e:
            print("bad request:", e, file=sys.stderr)
            self.transport.abort()
        self.task = None
        if not self.transport.is_closing():
            self.finish()

    def finish(self):
        """The answer is complete: close, or go on with the next request."""
        request, self.request = self.request, None
        if not request.keeps_alive:
            self.transport.close()
        elif self.buffer and not self.transport.is_closing():
            asyncio.get_running_loop().call_soon(self.next_request)

    # ---- answers ----

    def reply(self, status, body=b"", kind="text/plain", extra=()):
        head = simple_head(status, len(body), kind, extra)
        if self.request.method == "HEAD" or status in (204, 304):
            body = b""
        self.transport.write(head + body)

    def reply_json(self, value):
        self.reply(200, json.dumps(value).encode() + b"\n", "application/json")

    async def write(self, data):
        await self.can_write.wait()
        if self.transport.is_closing():
            raise ConnectionResetError
        self.transport.write(data)

    async def stream(self, start, end, seed):
        for at in range(start, end, PIECE):
            await self.write(body_bytes(at, min(at + PIECE, end), seed))


def simple_head(status, length, kind, extra=(), close=False):
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Strange"
    lines = [f"HTTP/1.1 {status} {phrase}", f"Content-Type: {kind}"]
    if length is not None and status != 204:
        lines.append(f"Content-Length: {length}")
    if close:
        lines.append("Connection: close")
    lines.extend(f"{name}: {value}" for name, value in extra)
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


# ---- handlers: answer at once and return None, or return a coroutine ----


def not_found(conn, request):
    conn.reply(404, b"no such behaviour; see --help\n")


def index(conn, request):
    conn.reply(200, __doc__.encode())


def asked_range(request, size, etag):
    """(start, end) of a satisfiable single range, None without one."""
    text = request.headers.get("range", "")
    condition = request.headers.get("if-range", etag)
    if not text.startswith("bytes=") or "," in text or condition != etag:
        return None
    first, _, last = text[6:].partition("-")
    if not first:
        return max(size - int(last), 0), size
    return int(first), min(int(last) + 1, size) if last else size


def do_bytes(conn, request):
    size, seed = int(request.parts[1]), request.seed
    etag = f'"{size}-{urllib.parse.quote(seed)}"'
    extra = [("ETag", etag), ("Accept-Ranges", "bytes")]
    span = asked_range(request, size, etag)
    start, end = span or (0, size)
    if span and start >= size:
        conn.reply(416, extra=[("Content-Range", f"bytes */{size}")])
        return None
    if span:
        extra.append(("Content-Range", f"bytes {start}-{end - 1}/{size}"))
    kind = request.query.get("type", "application/octet-stream")
    head = simple_head(206 if span else 200, end - start, kind, extra)
    if request.method == "HEAD":
        conn.transport.write(head)
        return None
    if end - start <= PIECE:
        conn.transport.write(head + body_bytes(start, end, seed))
        return None
    conn.transport.write(head)
    return conn.stream(start, end, seed)


CHUNKED = (("Transfer-Encoding", "chunked"),)


def do_chunked(conn, request):
    size, seed = int(request.parts[1]), request.seed
    step = max(request.number("chunk", 16384), 1)

    async def send():
        conn.transport.write(simple_head(200, None, "application/octet-stream", CHUNKED))
        if request.method == "HEAD":
            return
        for at in range(0, size, step):
            data = body_bytes(at, min(at + step, size), seed)
            await conn.write(b"%x\r\n%b\r\n" % (len(data), data))
        conn.transport.write(b"0\r\n\r\n")

    return send()


def do_sha256(conn, request):
    conn.reply(200, body_sum(int(request.parts[1]), request.seed).encode() + b"\n")


async def do_delay(conn, request):
    await asyncio.sleep(float(request.parts[1]))
    size = request.number("size", 1000)
    conn.reply(200, body_bytes(0, size, request.seed), "application/octet-stream")


async def do_slow(conn, request):
    size, rate = request.number("size", 1000), request.number("rate", 100, float)
    conn.transport.write(simple_head(200, size, "application/octet-stream"))
    step = max(int(rate / 20), 1)
    for at in range(0, size, step):
        await conn.write(body_bytes(at, min(at + step, size), request.seed))
        await asyncio.sleep(step / rate)


async def do_stall(conn, request):
    conn.transport.write(simple_head(200, request.number("size", 1000), "text/plain"))
    conn.transport.write(body_bytes(0, request.number("after", 10), request.seed))
    await asyncio.Event().wait()


async def do_hang(conn, request):
    await asyncio.Event().wait()


def do_status(conn, request):
    body = body_bytes(0, request.number("size", 0), request.seed)
    conn.reply(int(request.parts[1]), body or b"status as asked\n")


def redirect(conn, request, url):
    conn.reply(request.number("status", 302), b"elsewhere\n", extra=[("Location", url)])


def do_redirect(conn, request):
    n = int(request.parts[1])
    rest = "/".join(request.parts[2:])
    path = f"/redirect/{n - 1}/{rest}" if n > 1 else f"/{rest}"
    query = f"?{request.query_text}" if request.query_text else ""
    redirect(conn, request, path + query)


def do_redirect_loop(conn, request):
    redirect(conn, request, request.target)


def do_redirect_to(conn, request):
    redirect(conn, request, request.query["url"] if "url" in request.query else "/")


def do_echo(conn, request):
    conn.reply_json({
        "method": request.method,
        "path": request.target,
        "headers": dict(request.fields),
        "body": request.body.decode("utf-8", "replace"),
    })


def do_basic_auth(conn, request):
    user_pass = ":".join(urllib.parse.unquote(p) for p in request.parts[1:3])
    right = "Basic " + base64.b64encode(user_pass.encode()).decode()
    if request.headers.get("authorization") == right:
        conn.reply(200, b"welcome\n")
    else:
        conn.reply(401, b"who are you?\n", extra=[("WWW-Authenticate", 'Basic realm="test"')])


def do_fail(conn, request):
    if stats.count("fail/" + request.parts[2]) <= int(request.parts[1]):
        conn.reply(503, b"not yet\n", extra=[("Retry-After", "0")])
    else:
        conn.reply(200, b"at last\n")


def do_count(conn, request):
    conn.reply(200, b"%d\n" % stats.count("count/" + request.parts[1]))


def do_empty(conn, request):
    conn.transport.close()


def do_close(conn, request):
    size = request.number("size", 1000)
    data = body_bytes(0, size, request.seed)
    conn.transport.write(simple_head(200, None, "text/plain", CHUNKED))
    conn.transport.write(b"%x\r\n%b" % (2 * size, data))
    conn.transport.close()


def do_short(conn, request):
    size = request.number("size", 1000)
    conn.transport.write(simple_head(200, size, "text/plain"))
    conn.transport.write(body_bytes(0, size // 2, request.seed))
    conn.transport.close()


def validators(request, seed, number):
    date = ("Date", "Wed, 21 Oct 2015 07:28:01 GMT")
    modified = f"Wed, 21 Oct 2015 07:27:{len(seed) % 60:02} GMT"
    tag = f'"{seed}"'
    return {
        "strong": [("ETag", tag)],
        "weak": [("ETag", "W/" + tag), ("Last-Modified", modified), date],
        "date": [("Last-Modified", modified), date],
        "fresh": [("Last-Modified", date[1]), date],
        "none": [],
    }[request.query.get("tag", "strong")]


def content_range(rest, start, end, size):
    return {
        "other": f"bytes {start + 1}-{end}/{size + 1}",
        "slice": f"bytes {start}-{end - 2}/{size}",
        "less": f"bytes {start}-{end - 2}/{size - 1}",
        "star": f"bytes {start}-{end - 1}/*",
    }.get(rest, f"bytes {start}-{end - 1}/{size}")


def part_answer(request, size, seed, known):
    """(status, header fields, first byte) of an answer of /part."""
    rest, asked = request.query.get("rest", "yes"), request.headers.get("range")
    is_same = request.headers.get("if-range") in [value for _, value in known[:1]]
    if not asked or rest == "no" or not (is_same or rest in ("blind", "untagged")):
        return 200, known, 0
    if rest == "gone":
        return 416, [("Content-Range", f"bytes */{size}")], size
    start = int(asked[len("bytes="):-1])
    fields = [("Content-Range", content_range(rest, start, size, size))]
    fields += [("Content-Encoding", "gzip")] if rest == "gzip" else []
    return 206, fields + ([] if rest == "untagged" else known), start


async def do_part(conn, request):
    name, size = request.parts[1], request.number("size", 100000)
    asked = stats.asked.setdefault(name, [])
    asked.append([request.headers.get("range"), request.headers.get("if-range")])
    is_other = len(asked) >= request.number("change", 1 << 30)
    seed = request.seed + ("x" if is_other else "")
    status, fields, start = part_answer(request, size, seed, validators(request, seed, len(asked)))
    end = size
    if len(asked) <= request.number("cuts", 1):
        end = min(start + request.number("after", size // 2), size)
    is_long = status == 206 and request.query.get("rest") == "long"
    length = None if is_long else size - start
    conn.transport.write(simple_head(status, length, "text/x-part",
                                     fields + (list(CHUNKED) if is_long else [])))
    if is_long:
        data = body_bytes(start, size + 1, seed)
        conn.transport.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data))
        return
    await conn.stream(start, end, seed)
    if end < size and request.query.get("end") == "stall":
        await asyncio.Event().wait()
    elif end < size:
        conn.transport.close()


def do_asked(conn, request):
    conn.reply_json(stats.asked.get(request.parts[1], []))


async def do_reset(conn, request):
    after = request.number("after", 0)
    if after:
        conn.transport.write(simple_head(200, 2 * after, "text/plain"))
        conn.transport.write(body_bytes(0, after, request.seed))
        await asyncio.sleep(0.05)  # a reset throws away what the peer has not read
    sock = conn.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.transport.abort()


def do_garbage(conn, request):
    conn.transport.write(b"220 mail.example ESMTP\r\n")
    conn.transport.close()


def do_gzip_bomb(conn, request):
    body = zero_gzip(request.number("size", 100 * 1024 * 1024))
    conn.reply(200, body, "text/plain", [("Content-Encoding", "gzip")])


def do_headers_flood(conn, request):
    n = request.number("n", 10000)
    value = "x" * (request.number("length", 100) - 18)
    conn.reply(200, b"ok\n", extra=[(f"X-Flood-{i:06}", value) for i in range(n)])


def do_stats(conn, request):
    conn.reply_json({
        "requests": stats.requests,
        "connections": stats.connections,
        "open": stats.open,
        "peak": stats.peak,
    })


HANDLERS = {
    "": index,
    "bytes": do_bytes,
    "chunked": do_chunked,
    "sha256": do_sha256,
    "delay": do_delay,
    "slow": do_slow,
    "stall": do_stall,
    "hang": do_hang,
    "status": do_status,
    "redirect": do_redirect,
    "redirect-loop": do_redirect_loop,
    "redirect-to": do_redirect_to,
    "echo": do_echo,
    "basic-auth": do_basic_auth,
    "fail": do_fail,
    "count": do_count,
    "empty": do_empty,
    "close": do_close,
    "short": do_short,
    "part": do_part,
    "asked": do_asked,
    "reset": do_reset,
    "garbage": do_garbage,
    "gzip-bomb": do_gzip_bomb,
    "headers-flood": do_headers_flood,
    "stats": do_stats,
}


# ---- the process ----


def allow_many_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wish = 65536 if hard == resource.RLIM_INFINITY else min(65536, hard)
    if soft == resource.RLIM_INFINITY or soft >= wish:
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (wish, hard))


def tls_context(args):
    if not args.tls_cert:
        return None
    import ssl  # only here: it takes a while to load

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(args.tls_cert, args.tls_key)
    return context


async def serve(args):
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for signo in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signo, stop.set)
    if args.exit_with_stdin:
        loop.add_reader(0, lambda: sys.stdin.buffer.raw.read(4096) or stop.set())
    server = await loop.create_server(
        Connection, args.host, args.port, backlog=4096, ssl=tls_context(args))
    sys.stdout.write(f"READY {server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await stop.wait()
    server.close()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=0, help="port (0: any free one)")
    parser.add_argument("--tls-cert", metavar="FILE", help="speak https with this certificate")
    parser.add_argument("--tls-key", metavar="FILE", help="its key")
    parser.add_argument("--exit-with-stdin", action="store_true",
                        help="end when standard input ends, so that no test leaves a server behind")
    parser.add_argument("--sum", nargs=2, metavar=("SIZE", "SEED"),
                        help="print the SHA-256 of /bytes/SIZE?seed=SEED and exit")
    args = parser.parse_args()
    if args.sum:
        print(body_sum(int(args.sum[0]), args.sum[1]))
        return
    allow_many_files()
    asyncio.run(serve(args))


if __name__ == "__main__":
    main()
