# SPDX-License-Identifier: MIT
"""What the integration tests share: a private daemon, its clients, its leftovers.

A test file is one story.  It derives from TestCase, starts daemons with
self.daemon(), and ends with main().  Each daemon has a folder of its own (home,
state, short socket path) and is ended and judged in the test's clean-up: it
must stop with status 0, leave no process behind, and its log must hold no
sanitizer's report.

Nothing here sleeps and hopes: what has to happen is waited for, with a
deadline, and a missed deadline is a failure that says what did not happen.

Environment:
  AWAITD, AWAITCTL, AWAITD_SUPERVISOR  the programs (make check sets them)
  AWAITD_TEST_SCALE   stretch every deadline (found by itself for sanitizers)
  AWAITD_WRAPPER      words put before the daemon's, e.g. a valgrind command
  AWAITD_TEST_KEEP    keep the daemons' folders
  AWAITD_TEST_SEED    seed of random tests (they print it)
"""
import contextlib
import ctypes
import json
import os
import random
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import uuid

sys.dont_write_bytecode = True
from schema import Schemas

SKIP = 77
HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
MARK = "AWTEST_MARK"  # in the environment of everything that a test starts
REPORTS = re.compile(r"(ERROR: AddressSanitizer|ERROR: LeakSanitizer|runtime error:|"
                     r"ERROR SUMMARY: [1-9]|Assertion .* failed|assertion failed)")


# ---- the programs ----------------------------------------------------------

def program(variable, name):
    """The path of one of our programs: from the environment, else from a build tree."""
    path = os.environ.get(variable)
    if path:
        return os.path.abspath(path)
    for base in (os.getcwd(), os.path.join(TOP, "_build", "tests"),
                 os.path.join(TOP, "_build", "quickstart"), TOP):
        for folder in ("", "daemon", "client", "daemon/supervisor"):
            path = os.path.join(base, folder, name)
            if os.path.isfile(path) and os.access(path, os.X_OK):
                return path
    print(f"{name} not found: build it, and run this from the build folder or set {variable}")
    raise SystemExit(99)


AWAITD = program("AWAITD", "awaitd")
AWAITCTL = program("AWAITCTL", "awaitctl")
SUPERVISOR = program("AWAITD_SUPERVISOR", "awaitd-supervisor")
WRAPPER = shlex.split(os.environ.get("AWAITD_WRAPPER", ""))


def is_sanitized():
    with open(AWAITD, "rb") as f:
        text = f.read()
    return b"__asan_init" in text or b"__tsan_init" in text or b"__ubsan_handle" in text


IS_SLOW = bool(WRAPPER) or is_sanitized()
SCALE = float(os.environ.get("AWAITD_TEST_SCALE") or (20 if WRAPPER else 4 if IS_SLOW else 1))
SEED = int(os.environ.get("AWAITD_TEST_SEED") or random.SystemRandom().randrange(1 << 31))


def scaled(seconds):
    """A deadline, stretched for slow builds.  For limits, never for what is measured."""
    return seconds * SCALE


# ---- waiting ---------------------------------------------------------------

class Late(AssertionError):
    """Something did not happen in time."""


def wait_until(predicate, seconds, what):
    """Ask until the answer is true and give it; Late after @seconds (scaled)."""
    end = time.monotonic() + scaled(seconds)
    pause = 0.001
    while True:
        answer = predicate()
        if answer:
            return answer
        if time.monotonic() >= end:
            raise Late(f"{what}: not within {scaled(seconds):g} s")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def sleep_until(instant):
    """Sleep to an instant of time.monotonic(): for what is *about* time passing."""
    left = instant - time.monotonic()
    if left > 0:
        time.sleep(left)


def parse_time(text):
    """The interface's times to seconds since 1970."""
    m = re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)\.(\d{3})Z", text or "")
    if not m:
        raise AssertionError(f"not a time of the interface: {text!r}")
    import calendar
    return calendar.timegm(tuple(int(x) for x in m.groups()[:6])) + int(m.group(7)) / 1000


# ---- processes -------------------------------------------------------------

def process_start(pid):
    """The start time of a process in clock ticks, None when it is gone or only a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as f:
            fields = f.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def process_table():
    """(pid, ppid, session) of all living processes."""
    table = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="latin-1") as f:
                fields = f.read().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] not in "ZX":
            table.append((int(name), int(fields[1]), int(fields[3])))
    return table


def children(pid):
    return [p for p, parent, _ in process_table() if parent == pid]


def marked(mark):
    """Pids of all processes that have our mark in their environment."""
    needle = f"{MARK}={mark}".encode()
    found = []
    for pid, _, _ in process_table():
        try:
            with open(f"/proc/{pid}/environ", "rb") as f:
                if needle in f.read().split(b"\0"):
                    found.append(pid)
        except OSError:
            continue
    return found


def command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:
        return ""


def busy_factor(pid):
    """How many times longer the loop's thread needed because others had the processors.

    The kernel counts how long it ran and how long it was ready to run and had to
    wait: 1 on a quiet machine.  The promises above are for a daemon that may run.
    """
    try:
        with open(f"/proc/{pid}/schedstat", encoding="ascii") as f:
            ran, waited = (int(word) for word in f.read().split()[:2])
    except OSError:
        return 1.0
    return 1 + waited / max(ran, 1)


def die_with_us():
    """In a child: no test leaves a daemon behind, even when it is killed itself."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


# ---- the protocol ----------------------------------------------------------

SCHEMAS = Schemas.load()
LOOKED_AT_MAX = 100  # replies of each method; a test with 10,000 jobs need not look at all
looked_at = {}


def check_result(method, result):
    """Each result has the shape that proto/schemas promises."""
    looked_at[method] = looked_at.get(method, 0) + 1
    if looked_at[method] <= LOOKED_AT_MAX and not (method == "job.list"
                                                   and len(result["jobs"]) > LOOKED_AT_MAX):
        SCHEMAS.check(result, "results.json#/properties/" + method)


NOTES = {"event": "event.json#/definitions/Event",
         "job.output": "results.json#/definitions/OutputNote"}


def check_note(message):
    """So has each notification."""
    method = message["method"]
    looked_at["note", method] = looked_at.get(("note", method), 0) + 1
    if looked_at["note", method] <= LOOKED_AT_MAX:
        SCHEMAS.check(message["params"], NOTES[method])
    return message


class RpcError(Exception):
    """An error reply."""

    def __init__(self, error):
        super().__init__(json.dumps(error))
        self.error = error
        self.code = error.get("code")
        self.message = error.get("message")
        self.data = error.get("data") or {}
        self.word = self.data.get("code") if isinstance(self.data, dict) else None


class Gone(Exception):
    """The daemon closed the connection."""


class Client:
    """One connection.  Replies may overtake each other; they are matched by id."""

    def __init__(self, path, timeout=30, sock=None):
        self.timeout = timeout
        self.sock = sock or socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        if not sock:
            self.sock.connect(path)
        self.pending = bytearray()
        self.replies = {}  # id -> reply that was not asked for yet
        self.methods = {}  # id -> the method that was called
        self.notes = []    # notifications, in order
        self.next_id = 0

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send_raw(self, data):
        self.sock.settimeout(scaled(self.timeout))
        self.sock.sendall(data)

    def send_line(self, data):
        self.send_raw((data if isinstance(data, bytes) else data.encode()) + b"\n")

    def send(self, value):
        self.send_line(json.dumps(value, separators=(",", ":")))

    def read_line(self, timeout=None):
        """The next line, without its newline; Gone at the end."""
        end = time.monotonic() + scaled(self.timeout if timeout is None else timeout)
        while True:
            at = self.pending.find(b"\n")
            if at >= 0:
                line = bytes(self.pending[:at])
                del self.pending[:at + 1]
                return line
            left = end - time.monotonic()
            if left <= 0:
                raise Late("no line from the daemon")
            self.sock.settimeout(left)
            try:
                got = self.sock.recv(1 << 18)
            except socket.timeout:
                continue
            except ConnectionResetError:
                got = b""
            if not got:
                raise Gone("the daemon closed the connection")
            self.pending += got

    def read(self, timeout=None):
        return json.loads(self.read_line(timeout))

    def notify(self, method, params=None):
        message = {"jsonrpc": "2.0", "method": method}
        if params is not None:
            message["params"] = params
        self.send(message)

    def request(self, method, params=None):
        """Send a request and give its id, for reply()."""
        self.next_id += 1
        message = {"jsonrpc": "2.0", "id": self.next_id, "method": method}
        if params is not None:
            message["params"] = params
        self.send(message)
        self.methods[self.next_id] = method
        return self.next_id

    def reply(self, number, timeout=None):
        """The result of request @number; RpcError if it was refused."""
        end = time.monotonic() + scaled(self.timeout if timeout is None else timeout)
        while number not in self.replies:
            message = self.read(max(end - time.monotonic(), 0.001) / SCALE)
            if isinstance(message, dict) and "method" in message:
                self.notes.append(check_note(message))
            elif isinstance(message, dict):
                self.replies[message.get("id")] = message
            else:
                raise AssertionError(f"neither reply nor notification: {message!r}")
        message = self.replies.pop(number)
        if message.get("jsonrpc") != "2.0" or ("result" in message) == ("error" in message):
            raise AssertionError(f"not a JSON-RPC 2.0 reply: {message!r}")
        if "error" in message:
            raise RpcError(message["error"])
        if number in self.methods:
            check_result(self.methods.pop(number), message["result"])
        return message["result"]

    def call(self, method, params=None, timeout=None):
        return self.reply(self.request(method, params), timeout)

    def call_error(self, method, params=None):
        """The RpcError that the call must end in."""
        try:
            result = self.call(method, params)
        except RpcError as e:
            return e
        raise AssertionError(f"{method} {json.dumps(params)[:200]} was accepted: "
                             f"{json.dumps(result)[:200]}")

    def note(self, method, timeout=10):
        """The next notification named @method; others stay in the list."""
        end = time.monotonic() + scaled(timeout)
        while True:
            for i, message in enumerate(self.notes):
                if message["method"] == method:
                    return self.notes.pop(i)["params"]
            message = self.read(max(end - time.monotonic(), 0.001) / SCALE)
            if "method" in message:
                self.notes.append(check_note(message))
            else:
                self.replies[message.get("id")] = message

    # The verbs that most tests need.

    def submit(self, kind, **keys):
        """Submit one document and give the job object."""
        return self.call("job.submit", {"kind": kind, **keys})

    def get(self, number):
        return self.call("job.get", {"id": number})

    def wait(self, *numbers, timeout=30, mode="all"):
        """Wait for the end and give the job objects; running out of time is a failure."""
        got = self.call("job.wait", {"ids": list(numbers), "mode": mode,
                                     "timeout": scaled(timeout)}, timeout + 10)
        if got["timed_out"]:
            states = {j["id"]: (j["state"], j["reason"]) for j in got["jobs"]}
            raise Late(f"not done within {scaled(timeout):g} s: {states}")
        return got["jobs"]

    def wait_one(self, number, timeout=30):
        return self.wait(number, timeout=timeout)[0]

    def wait_state(self, number, state, timeout=10):
        """Wait until the job is in @state and give it."""
        def look():
            job = self.get(number)
            return job if job["state"] == state else None
        return wait_until(look, timeout, f"job {number} is {state}")

    def list_all(self, **filters):
        """Every job that the filters leave, page by page."""
        jobs, after = [], None
        while True:
            page = self.call("job.list", {**filters, "limit": 1000,
                                          **({"after": after} if after else {})})
            jobs += page["jobs"]
            after = page["next"]
            if after is None:
                return jobs

    def output(self, number, stream="both"):
        """What a job wrote, to the end, as bytes."""
        import base64
        data, offset = b"", 0
        while True:
            got = self.call("job.output", {"id": number, "stream": stream, "offset": offset})
            piece = (base64.b64decode(got["data_base64"]) if "data_base64" in got
                     else got["data"].encode())
            data += piece
            if got["eof"] or (not piece and got["offset"] == offset):
                return data
            offset = got["offset"]


def socket_as(path, ids, groups=()):
    """A connection with the credentials of another user; needs root.

    A child takes them on, connects and hands the socket back: they are those of that moment.
    """
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            os.setgroups(groups)
            os.setgid(ids[1])
            os.setuid(ids[0])
            s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            s.connect(path)
            socket.send_fds(theirs, [b"x"], [s.fileno()])
        os._exit(0)
    with ours:
        theirs.close()
        _, fds, _, _ = socket.recv_fds(ours, 1, 1)
        os.waitpid(pid, 0)
    if not fds:
        raise OSError(f"uid {ids[0]} cannot connect to {path}")
    return socket.socket(fileno=fds[0])


# ---- the daemon ------------------------------------------------------------

class Result:
    """What a program left: exit status, output, time."""

    def __init__(self, status, out, err, seconds):
        self.status, self.out, self.err, self.seconds = status, out, err, seconds

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def lines(self):
        return self.out.splitlines()

    def __repr__(self):
        return f"status {self.status}, out {self.out[-600:]!r}, err {self.err[-600:]!r}"


class Daemon:
    """A private daemon in a folder of its own: start it as often as you like."""

    def __init__(self, config=None, args=(), env=None, user=None):
        base = tempfile.gettempdir()
        # A socket's path may have 107 bytes; a deep TMPDIR would leave no room.
        self.dir = tempfile.mkdtemp(prefix="aw-", dir=base if len(base) < 60 else "/tmp")
        self.home = os.path.join(self.dir, "home")
        self.state = os.path.join(self.dir, "state")
        self.socket = os.path.join(self.dir, "s")
        self.log_path = os.path.join(self.dir, "log")
        self.config = None
        self.args = list(args)
        self.user = user  # (uid, gid) to run as; tests as root only
        self.mark = uuid.uuid4().hex
        self.supervisors = []  # (pid, start time), of every daemon that ran here
        self.process = None
        os.mkdir(self.home)
        if config is not None:
            self.write_config(config)
        self.env = {
            "PATH": os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin"), "LANG": "C.UTF-8",
            "HOME": self.home, "XDG_RUNTIME_DIR": self.dir, MARK: self.mark,
            "XDG_STATE_HOME": os.path.join(self.home, ".local/state"),
            "XDG_CONFIG_HOME": os.path.join(self.home, ".config"),
            "AWAITD_SUPERVISOR": SUPERVISOR,
        }
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "TMPDIR",
                     "LD_LIBRARY_PATH", "LLVM_PROFILE_FILE", "GCOV_PREFIX"):
            if name in os.environ:
                self.env[name] = os.environ[name]
        self.env.update(env or {})
        if user:
            for path in (self.dir, self.home):
                os.chown(path, *user)

    def write_config(self, text):
        self.config = os.path.join(self.dir, "awaitd.conf")
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(text)

    def command(self, *more):
        words = [*WRAPPER, AWAITD, "--user", "--socket", self.socket, "--state-dir", self.state]
        if self.config:
            words += ["--config", self.config]
        return words + self.args + list(more)

    def spawn(self, *more, env=None, **keys):
        """Start the daemon and do not wait for it."""
        def prepare():
            if self.user:
                os.setgroups([])
                os.setgid(self.user[1])
                os.setuid(self.user[0])
            die_with_us()
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(*more), env={**self.env, **(env or {})}, cwd=self.dir,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=prepare,
                start_new_session=True, **keys)
        return self.process

    def start(self, *more, timeout=20, **keys):
        """Start the daemon and wait until it answers; gives the seconds that took."""
        began = time.monotonic()
        self.spawn(*more, **keys)

        def answers():
            if self.process.poll() is not None:
                raise AssertionError(f"the daemon ended with status {self.process.returncode} "
                                     f"at its start:\n{self.log_tail()}")
            try:
                with Client(self.socket) as c:
                    return c.call("daemon.info")["pid"]
            except (OSError, Gone):
                return None
        self.pid = wait_until(answers, timeout, "the daemon answers")
        self.remember_supervisors()
        return time.monotonic() - began

    def remember_supervisors(self):
        for pid in children(self.process.pid):
            start = process_start(pid)
            if start is not None and (pid, start) not in self.supervisors:
                self.supervisors.append((pid, start))

    def is_alive(self):
        return self.process is not None and self.process.poll() is None

    def wait_exit(self, timeout=40):
        """Wait for the daemon's end and give its exit status."""
        try:
            return self.process.wait(scaled(timeout))
        except subprocess.TimeoutExpired:
            raise Late(f"the daemon did not end within {scaled(timeout):g} s:\n"
                       + self.log_tail()) from None

    def stop(self, sig=signal.SIGTERM, timeout=40):
        """An orderly stop; gives the exit status."""
        self.remember_supervisors()
        self.process.send_signal(sig)
        status = self.wait_exit(timeout)
        self.check_supervisors_gone()
        return status

    def kill9(self):
        """End the daemon as a crash would, without a chance to do anything."""
        self.remember_supervisors()
        self.process.kill()
        self.process.wait(scaled(10))

    def restart(self):
        status = self.stop()
        if status != 0:
            raise AssertionError(f"the orderly stop ended with {status}:\n{self.log_tail()}")
        return self.start()

    def check_supervisors_gone(self):
        """Our end is closed: the supervisor must end every tree and then itself."""
        def gone():
            return not any(process_start(pid) == start for pid, start in self.supervisors)
        wait_until(gone, 15, "the supervisor is gone")

    def client(self, ids=None, groups=(), **keys):
        """A connection; of another user with @ids (uid, gid)."""
        if ids:
            keys["sock"] = socket_as(self.socket, ids, groups)
        return Client(self.socket, **keys)

    def leftovers(self):
        """Living processes of workers (they carry the mark when the document set it)."""
        own = set()
        if self.is_alive():
            own.add(self.process.pid)
            self.remember_supervisors()
        own |= {p for p, s in self.supervisors if process_start(p) == s}
        return [p for p in marked(self.mark) if p not in own]

    def worker(self, *argv, env=None, **keys):
        """A worker's document; it carries the mark by which leftovers are found."""
        return {"kind": "worker", "argv": list(argv), "env": {MARK: self.mark, **(env or {})},
                **keys}

    def shell(self, script, **keys):
        return self.worker("/bin/sh", "-c", script, **keys)

    def ctl(self, *words, stdin=None, timeout=60, env=None, socket_option=True, cwd=None,
            text=True):
        """Run awaitctl to its end."""
        began = time.monotonic()
        p = self.ctl_spawn(*words, env=env, socket_option=socket_option, cwd=cwd, text=text,
                           stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL)
        try:
            out, err = p.communicate(stdin, timeout=scaled(timeout))
        except subprocess.TimeoutExpired:
            p.kill()
            out, err = p.communicate()
            raise Late(f"awaitctl {' '.join(words)[:200]} did not end: {out!r} {err!r}") from None
        return Result(p.returncode, out, err, time.monotonic() - began)

    def ctl_spawn(self, *words, env=None, socket_option=True, cwd=None, text=True,
                  stdin=subprocess.DEVNULL):
        front = [AWAITCTL] + (["--socket", self.socket] if socket_option else [])
        environment = {k: v for k, v in self.env.items() if k != MARK}
        environment.update(env or {})
        return subprocess.Popen([*front, *words], env=environment, cwd=cwd or self.home,
                                stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=text, preexec_fn=die_with_us)

    def log(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    def log_tail(self, lines=40):
        return "\n".join(self.log().splitlines()[-lines:])

    def threads(self):
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def finish(self):
        """Stop what still runs and list everything that is not as it must be."""
        wrong = []
        if self.is_alive():
            with contextlib.suppress(Late):
                wrong += [f"orderly stop ended with status {s}" for s in (self.stop(),) if s]
            if self.is_alive():
                wrong.append("the daemon did not end at SIGTERM")
                self.process.kill()
                self.process.wait()
        try:
            self.check_supervisors_gone()
        except Late as e:
            wrong.append(str(e))
            for pid, start in self.supervisors:
                if process_start(pid) == start:
                    os.kill(pid, signal.SIGKILL)
        try:
            wait_until(lambda: not self.leftovers(), 2, "no worker is left")
        except Late:
            for pid in self.leftovers():
                wrong.append(f"left behind: {pid} {command_line(pid)}")
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        wrong += [f"in the log: {line}" for line in self.log().splitlines()
                  if REPORTS.search(line)]
        return wrong

    def remove(self):
        if not os.environ.get("AWAITD_TEST_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)
        else:
            print(f"kept: {self.dir}")


# ---- the web server --------------------------------------------------------

class WebServer:
    """tests/support/httpd.py in a process of its own; its paths are described there."""

    def __init__(self, *args):
        self.process = subprocess.Popen(
            [sys.executable, "-B", os.path.join(HERE, "httpd.py"), *args],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_us)
        line = self.process.stdout.readline()
        m = re.search(r"(\d+)\s*$", line)
        if not m:
            raise AssertionError(f"httpd.py did not say its port: {line!r}")
        self.port = int(m.group(1))

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def unused_port():
    """A port on loopback where nobody listens."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# ---- unittest --------------------------------------------------------------

class TestCase(unittest.TestCase):
    longMessage = True
    limit = 120  # seconds for one test, scaled

    def run(self, result=None):
        def on_alarm(*_):
            raise Late(f"the test ran longer than {scaled(self.limit):g} s")
        old = signal.signal(signal.SIGALRM, on_alarm)
        signal.setitimer(signal.ITIMER_REAL, scaled(self.limit))
        try:
            return super().run(result)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, old)

    def has_failed(self):
        result = self._outcome.result
        return any(t is self or getattr(t, "test_case", None) is self
                   for t, _ in result.failures + result.errors)

    def daemon(self, start=True, **keys):
        """A private daemon, ended and judged after the test."""
        d = Daemon(**keys)
        self.addCleanup(self.judge, d)
        if start:
            d.start()
        return d

    def judge(self, d):
        wrong = d.finish()
        if wrong or self.has_failed():
            print(f"---- {self.id()}: the daemon's log\n{d.log_tail()}\n----", flush=True)
        d.remove()
        self.assertEqual(wrong, [], "after the test")

    def web(self, *args):
        server = WebServer(*args)
        self.addCleanup(server.stop)
        return server

    def client(self, d, **keys):
        c = d.client(**keys)
        self.addCleanup(c.close)
        return c

    def assert_done(self, job, outcome="succeeded"):
        self.assertEqual((job["state"], job["outcome"]), ("done", outcome),
                         f"job {job['id']}: error {job['error']}")
        return job

    def assert_sentence(self, text):
        """A message for people: some words, one line."""
        self.assertIsInstance(text, str)
        self.assertNotIn("\n", text)
        self.assertGreater(len(text.split()), 2, f"not a sentence: {text!r}")


class _Result(unittest.TextTestResult):
    passed = 0

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1


def main():
    """Run the file's tests; the last line says how many passed.  Exit 77 when all were skipped."""
    print(f"seed {SEED}" + (f", deadlines times {SCALE:g}" if SCALE != 1 else ""), flush=True)
    random.seed(SEED)
    unittest.installHandler()
    suite = unittest.main(exit=False, verbosity=2, testRunner=unittest.TextTestRunner(
        stream=sys.stdout, verbosity=2, resultclass=_Result))
    result = suite.result
    n_failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    print(f"{result.passed} passed, {n_failed} failed, {len(result.skipped)} skipped", flush=True)
    if n_failed:
        raise SystemExit(1)
    raise SystemExit(SKIP if result.passed == 0 else 0)
