# SPDX-License-Identifier: MIT
"""What jobs cost that really run: workers beside xargs, fetches beside curl, timers' lateness.

Every state of awaitd's jobs is durable, which nothing of the others' is.
"""
import contextlib
import gc
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import Daemon, WebServer, parse_time  # noqa: E402
from report import note, tell  # noqa: E402

WORKERS = 2000
TIMERS = 10000
SPREAD_S = 10.0
LEAD_S = 3.0     # before all timers are due at once
SMALL = 5000     # fetches of 1 KB
SLOW = 1000      # fetches that the server answers after DELAY_S
DELAY_S = 0.1
AT_ONCE = 256
MANY = 1000      # in one request
# ext4 looks long for the place of a new file where many were deleted shortly before.
FAST_FOLDER = "/dev/shm" if os.path.isdir("/dev/shm") else None


@contextlib.contextmanager
def daemon(config=None):
    d = Daemon(config=config)
    d.start()
    try:
        yield d
    finally:
        wrong = d.finish()
        d.remove()
        if wrong:
            raise SystemExit(f"bench: awaitd: {wrong}")


def submit_all(client, documents):
    ids = []
    for start in range(0, len(documents), MANY):
        ids += client.call("job.submit_many", {"jobs": documents[start:start + MANY]})["ids"]
    return ids


def run_all(client, documents):
    """Submit, and wait for the end of all: their jobs."""
    ids = submit_all(client, documents)
    jobs = []
    for start in range(0, len(ids), MANY):
        jobs += client.wait(*ids[start:start + MANY], timeout=120)
    wrong = [j for j in jobs if j["outcome"] != "succeeded"]
    if wrong:
        raise SystemExit(f"bench: job {wrong[0]['id']}: {wrong[0]['error']}")
    return jobs


def cpu_seconds(pid):
    """On the processor so far, all threads of it."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as f:
            total += int(f.read().split()[0])
    return total / 1e9


# ---- workers ----

def workers_of_awaitd(n):
    with daemon() as d, d.client() as c:
        c.call("queue.set", {"name": "worker", "limit": 2})
        run_all(c, [{"kind": "worker", "argv": ["/bin/true"]}] * 20)
        began = time.monotonic()
        run_all(c, [{"kind": "worker", "argv": ["/bin/true"]}] * n)
        return n / (time.monotonic() - began)


def workers_of_xargs(n):
    lines = "\n".join(str(i) for i in range(n))
    began = time.monotonic()
    subprocess.run(["xargs", "-P2", "-n1", "/bin/true"], input=lines, text=True, check=True)
    return n / (time.monotonic() - began)


def workers(rounds):
    got = {workers_of_awaitd: [], workers_of_xargs: []}
    for _ in range(rounds):
        for run, rates in got.items():
            rates.append(run(WORKERS))
    ours, theirs = (statistics.median(rates) for rates in got.values())
    tell("workers/2/xargs", theirs, "/s")
    tell("workers/2", ours, "/s", of_xargs=ours / theirs)
    note(f"workers, 2 at a time: awaitd {ours:,.0f}/s, xargs {theirs:,.0f}/s")


# ---- timers ----

def tell_lateness(name, rounds):
    """@rounds: a sorted list of seconds each.  Times are told in whole milliseconds."""
    n = len(rounds[0])
    pick = {"value": n // 2, "p99_ms": n * 99 // 100, "least_ms": 0, "most_ms": n - 1}
    medians = {key: statistics.median(late[at] for late in rounds) * 1e3
               for key, at in pick.items()}
    tell(name, medians.pop("value"), "ms", **medians)


def spread_timers():
    sleeps = [SPREAD_S * i / TIMERS for i in range(TIMERS)]
    with daemon() as d, d.client() as c:
        jobs = run_all(c, [{"kind": "timer", "sleep": s} for s in sleeps])
    return sorted(parse_time(j["ended_at"]) - parse_time(j["started_at"]) - s
                  for j, s in zip(jobs, sleeps))


def timers_at_once():
    with daemon() as d, d.client() as c:
        at = round(time.time() + LEAD_S, 3)
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at * 1000) % 1000:03}Z"
        jobs = run_all(c, [{"kind": "timer", "sleep": 0, "at": text}] * TIMERS)
    return sorted(parse_time(j["started_at"]) - parse_time(text) for j in jobs)


def timers(rounds):
    gc.disable()  # a look through 10,000 jobs for garbage is longer than what is measured
    tell_lateness("timers/spread", [spread_timers() for _ in range(rounds)])
    tell_lateness("timers/at_once", [timers_at_once() for _ in range(rounds)])
    gc.enable()


# ---- fetches ----

def fetch_by_awaitd(urls):
    with tempfile.TemporaryDirectory(dir=FAST_FOLDER) as folder, \
            daemon(f"[fetch]\noutput_roots = {folder}\n") as d, d.client() as c:
        c.call("queue.set", {"name": "fetch", "limit": AT_ONCE})
        cpu, began = cpu_seconds(d.pid), time.monotonic()
        run_all(c, [{"kind": "fetch", "url": url, "output": f"{folder}/{i}"}
                    for i, url in enumerate(urls)])
        return time.monotonic() - began, cpu_seconds(d.pid) - cpu


def fetch_by_curl(urls):
    with tempfile.TemporaryDirectory(dir=FAST_FOLDER) as folder:
        config = "".join(f'url = "{url}"\noutput = "{folder}/{i}"\n' for i, url in enumerate(urls))
        began = time.monotonic()
        p = subprocess.Popen(["curl", "-q", "-s", "-Z", "--parallel-immediate", "--parallel-max",
                              str(AT_ONCE), "-K", "-"], stdin=subprocess.PIPE,
                             stderr=subprocess.DEVNULL)  # it draws a meter in spite of -s
        p.stdin.write(config.encode())
        p.stdin.close()
        _, status, usage = os.wait4(p.pid, 0)
        took = time.monotonic() - began
        p.returncode = os.waitstatus_to_exitcode(status)
        if p.returncode:
            raise SystemExit(f"bench: curl ended with {p.returncode}")
        return took, usage.ru_utime + usage.ru_stime


def fetches(rounds):
    has_curl = shutil.which("curl")
    if not has_curl:
        note("curl is not installed")
    loads = {"1k": (SMALL, "/bytes/1024?n={}"),
             "100ms": (SLOW, f"/delay/{DELAY_S}/f{{}}?size=1024")}
    for name, (n, path) in loads.items():
        got = {fetch_by_awaitd: []}
        if has_curl:
            got[fetch_by_curl] = []
        for _ in range(rounds):
            for run, results in got.items():
                web = WebServer()
                results.append(run([web.url(path.format(i)) for i in range(n)]))
                web.stop()
        medians = [[statistics.median(x) for x in zip(*results)] for results in got.values()]
        more = {"cpu_us": medians[0][1] / n * 1e6}
        if has_curl:
            tell(f"fetches/{name}/curl", medians[1][0], "s", cpu_us=medians[1][1] / n * 1e6)
            more["of_curl"] = medians[0][0] / medians[1][0]
            more["cpu_of_curl"] = medians[0][1] / medians[1][1]
        tell(f"fetches/{name}", medians[0][0], "s", **more)
