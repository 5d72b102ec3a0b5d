#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What is shown of the installed packages, in a systemd that systemd.py has booted for it.

Runs as root in a machine that is thrown away, with the first version of the
packages installed; the names of the second one's files are the arguments, and
lie in /debs.  One story: the tests run in the order in which they stand here.
"""
import contextlib
import fcntl
import grp
import json
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
import unittest

os.environ.update(AWAITD="/usr/bin/awaitd", AWAITCTL="/usr/bin/awaitctl",
                  AWAITD_SUPERVISOR="/usr/libexec/awaitd/awaitd-supervisor")
sys.path.insert(0, "/src/tests/support")
sys.dont_write_bytecode = True
from awaitd_test import (Client, Gone, Result, RpcError, TestCase, WebServer,  # noqa: E402
                         children, command_line, main, process_table, sleep_until, wait_until)

UPGRADE = ["/debs/" + name for name in sys.argv[1:]]
SOCKET = "/run/awaitd/awaitd.sock"
STATE = "/var/lib/awaitd"
SERVICE, LISTENER = "awaitd.service", "awaitd.socket"
DROP_INS = "/run/systemd/system/awaitd.service.d"
EXAMPLES = "/usr/share/doc/awaitd/examples"
# mia and ben are in the group awaitd, ada looks after everybody's jobs, eve is a stranger.
GROUPS = {"mia": "awaitd", "ben": "awaitd", "ada": "awaitd,awaitd-admin", "eve": ""}
SIOCSIFADDR = 0x8916
IGNORES_TERM = "trap '' TERM; while :; do sleep 1; done"


# ---- what the tests ask the machine ----------------------------------------

def run(*argv, timeout=60, status=0, **keys):
    """Run a program to its end; another exit status than @status (None: any) is a failure."""
    began = time.monotonic()
    p = subprocess.run(argv, stdin=subprocess.DEVNULL, text=True, timeout=timeout, check=False,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, **keys)
    result = Result(p.returncode, p.stdout, p.stderr, time.monotonic() - began)
    if status is not None and p.returncode != status:
        raise AssertionError(f"{' '.join(argv)}: {result}")
    return result


def as_user(user, *argv, **keys):
    return run("runuser", "-u", user, "--", *argv, cwd="/", **keys)


def ctl(user, *words, **keys):
    """awaitctl, which finds the system's daemon by itself."""
    return as_user(user, "awaitctl", *words, **keys)


def systemctl(*words, **keys):
    return run("systemctl", *words, **keys)


def prop(name, unit=SERVICE):
    return systemctl("show", "-p", name, "--value", unit).out.strip()


def main_pid():
    return int(prop("MainPID"))


def is_active(unit=SERVICE):
    return prop("ActiveState", unit) == "active"


def journal(*words):
    run("journalctl", "--sync")
    return run("journalctl", "--no-pager", *words).out


def processes_of_awaitd():
    """Everything that runs as the user awaitd, as {pid: command line}."""
    uid = pwd.getpwnam("awaitd").pw_uid
    found = {}
    for pid, _, _ in process_table():
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{pid}").st_uid == uid or uid_of(pid) == uid:
                found[pid] = command_line(pid)
    return found


def uid_of(pid):
    """A process that is not dumpable has its folder in /proc owned by root."""
    with open(f"/proc/{pid}/status", encoding="latin-1") as f:
        return int(re.search(r"^Uid:\s+(\d+)", f.read(), re.M).group(1))


def drop_in(text, name="test.conf"):
    """Change the unit, and restart it; gives what takes the change back."""
    os.makedirs(DROP_INS, exist_ok=True)
    path = os.path.join(DROP_INS, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)

    def undo():
        os.unlink(path)
        systemctl("daemon-reload")
        systemctl("reset-failed", SERVICE)
        systemctl("restart", SERVICE)
    systemctl("daemon-reload")
    if systemctl("restart", SERVICE, status=None).status != 0:
        undo()
        raise AssertionError(f"the service does not start with {name}:\n"
                             + journal("-u", SERVICE, "--since", "-3s"))
    return undo


def wait_for_main_pid_after(old, seconds=15):
    """Another process has taken the place of @old, and is ready."""
    return wait_until(lambda: main_pid() not in (0, old) and is_active() and main_pid(), seconds,
                      "the service is running again")


class Load:
    """Clients that come and go all the time; what became of them is counted."""

    def __init__(self, n):
        self.answered, self.cut, self.refused = 0, 0, []
        self.is_over = False
        self.threads = [threading.Thread(target=self.come_and_go) for _ in range(n)]

    def come_and_go(self):
        while not self.is_over:
            try:
                with Client(SOCKET) as c:
                    c.call("daemon.info")
                self.answered += 1
            except OSError as e:
                # A connection that the old daemon had begun to serve ends with it.
                if isinstance(e, (BrokenPipeError, ConnectionResetError)):
                    self.cut += 1
                else:
                    self.refused.append(str(e))
            except Gone:
                self.cut += 1
            except RpcError as e:
                self.refused.append(str(e))

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.is_over = True
        for t in self.threads:
            t.join()


def setUpModule():
    for user, groups in GROUPS.items():
        run("useradd", "-m", *(["-G", groups] if groups else []), user)


# ---- the story -------------------------------------------------------------

class Installed(TestCase):
    def root(self):
        c = Client(SOCKET)
        self.addCleanup(c.close)
        return c

    def configure(self, text, status=0):
        """Other settings, for this test; a mistake is an error of systemctl reload."""
        path = "/etc/awaitd/awaitd.conf"

        def write(text):
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)

        def restore(shipped):
            write(shipped)
            systemctl("reload", SERVICE)
        with open(path, encoding="utf-8") as f:
            self.addCleanup(restore, f.read())
        write(text)
        systemctl("reload", SERVICE, status=status)

    def submit_shell(self, c, script, **keys):
        return c.submit("worker", argv=["/bin/sh", "-c", script], **keys)["id"]

    def assert_shell(self, c, script, **keys):
        """A worker's program that has to succeed; gives what it printed."""
        number = self.submit_shell(c, script, **keys)
        job = c.wait_one(number)
        out = c.output(number).decode("utf-8", "replace")
        self.assertEqual(job["outcome"], "succeeded", f"{script}: {job['error']} {out}")
        return out

    def outcome_of_shell(self, c, script):
        return c.wait_one(self.submit_shell(c, script))["outcome"]

    def test_installation_starts_it(self):
        for unit in (SERVICE, LISTENER):
            self.assertTrue(is_active(unit), unit)
            self.assertEqual(systemctl("is-enabled", unit).out.strip(), "enabled")
        self.assertEqual(prop("NRestarts"), "0")
        self.assertEqual(prop("Type"), "notify")
        self.assertEqual(prop("StatusText"), "running", "what the daemon itself has told")
        self.assertEqual(uid_of(main_pid()), pwd.getpwnam("awaitd").pw_uid)
        info = self.root().call("daemon.info")
        self.assertEqual((info["pid"], info["state_dir"]), (main_pid(), STATE))
        self.assertEqual(run("systemd-analyze", "verify", "--man=no", SERVICE, LISTENER).err, "")

    def test_who_may_open_what(self):
        for path, mode, user, group in (("/run/awaitd", 0o755, "root", "root"),
                                        (SOCKET, 0o660, "root", "awaitd"),
                                        (STATE, 0o700, "awaitd", "awaitd"),
                                        ("/etc/awaitd/awaitd.conf", 0o644, "root", "root")):
            st = os.stat(path)
            self.assertEqual((stat.S_IMODE(st.st_mode), pwd.getpwuid(st.st_uid).pw_name,
                              grp.getgrgid(st.st_gid).gr_name), (mode, user, group), path)

    def test_it_is_hardened(self):
        told = run("systemd-analyze", "security", "--no-pager", SERVICE).out
        exposure = float(re.search(r"exposure level for \S+: ([\d.]+)", told).group(1))
        print(f"exposure {exposure}", end=" ", flush=True)
        self.assertLessEqual(exposure, 2.0)

    def test_what_jobs_need_works_all_the_same(self):
        c = self.root()
        self.assertEqual(self.assert_shell(c, "pwd; id -un; umask").split(),
                         [STATE, "awaitd", "0077"])
        for script in (
                "echo x >file && mv file other && chmod 755 other && rm other",
                "echo x >f && chgrp awaitd f && cp -a f g && rm f g",
                "echo x >/tmp/f && echo x >/var/tmp/f && mkfifo /tmp/p",
                "setsid -w true && nice -n 5 true && (sleep 0.01 & wait)",
                "cat /proc/meminfo /proc/self/status /sys/class/net/lo/address >/dev/null",
                "cat /usr/share/doc/awaitd/copyright >/dev/null",
        ):
            self.assert_shell(c, script)
        self.assert_shell(c, "exec python3 -c '" + NEEDS + "'")

    def test_all_kinds(self):
        web = WebServer()
        self.addCleanup(web.stop)
        c = self.root()
        denied = c.submit("fetch", url=web.url("/bytes/1"))
        self.assert_done(c.wait_one(denied["id"]), "failed")
        self.configure("[fetch]\nallow_networks = loopback\n")
        jobs = [c.submit("timer", sleep=0.2, value=["hi"]),
                c.submit("fetch", url=web.url("/bytes/300000"), output="a.bin"),
                c.submit("worker", argv=["sh", "-c", "echo out; echo err >&2; exit 3"])]
        timer, fetch, worker = c.wait(*(j["id"] for j in jobs))
        self.assertEqual(self.assert_done(timer)["result"], ["hi"])
        self.assertEqual(self.assert_done(fetch)["result"]["path"], STATE + "/downloads/a.bin")
        self.assertEqual(os.stat(fetch["result"]["path"]).st_size, 300000)
        self.assertEqual(self.assert_done(worker, "failed")["result"]["exit"], 3)
        self.assertEqual(c.output(worker["id"]), b"out\nerr\n")
        result = ctl("mia", "run", "worker", "--", "sh", "-c", "id -un; exit 5", status=5)
        self.assertEqual(result.out, "awaitd\n")

    def test_journal(self):
        """Ends that are no successes, with fields to look for; nothing from a job steers it."""
        c = self.root()
        failed = c.submit("worker", argv=["sh", "-c", "exit 3"], env={"SECRET": "hush-hush"},
                          name="x\u202ey")["id"]
        missing = c.submit("worker", argv=["/no/such\x1b[31m\nAWAITD_JOB=1"])["id"]
        good = c.submit("timer", sleep=0)["id"]
        cancelled = c.submit("timer", sleep=3600)["id"]
        c.call("job.cancel", {"ids": [cancelled]})
        c.wait(failed, missing, good, cancelled)

        def entries(number):
            return [json.loads(line) for line in
                    journal("-o", "json", f"AWAITD_JOB={number}").splitlines()]
        ends = wait_until(lambda: entries(failed), 10, "the journal has it")
        self.assertEqual([(e["AWAITD_KIND"], e["AWAITD_ATTEMPT"], e["AWAITD_OUTCOME"],
                           e["AWAITD_ERROR"], e["PRIORITY"], e["_SYSTEMD_UNIT"]) for e in ends],
                         [("worker", "1", "failed", "exit", "6", SERVICE)])
        self.assertEqual([e["AWAITD_OUTCOME"] for e in entries(cancelled)], ["cancelled"])
        self.assertEqual(entries(good), [], "successes are for the level debug")
        self.assertEqual([e["AWAITD_ERROR"] for e in entries(missing)], ["spawn"])
        self.assertNotRegex(entries(missing)[0]["MESSAGE"], "[\x00-\x1f]")
        self.assertNotIn("hush-hush", journal("-o", "export"))

    def test_reload(self):
        pid = main_pid()
        self.configure("[daemon]\nstop_timeout = 7s\n")
        self.assertEqual(self.root().call("daemon.info")["settings"]["daemon.stop_timeout"], 7)
        self.configure("[daemon]\nno_such = 7s\n", status=1)
        self.assertEqual((main_pid(), is_active()), (pid, True))
        self.assertIn("no_such", journal("-u", SERVICE))

    def test_socket_activation(self):
        systemctl("stop", SERVICE)
        self.assertFalse(is_active())
        self.assertTrue(is_active(LISTENER))
        began = time.monotonic()
        self.assertEqual(ctl("mia", "--json", "info").json["name"], "awaitd")
        print(f"first answer after {time.monotonic() - began:.2f} s", end=" ", flush=True)
        self.assertTrue(is_active())

    def test_who_sees_what(self):
        """Two users and a stranger, an administrator, and root."""
        mias = int(ctl("mia", "submit", "timer", "1h", "--name", "mias").out)
        bens = int(ctl("ben", "submit", "timer", "1h", "--name", "bens").out)

        def names(user):
            jobs = ctl(user, "--json", "list", "--state", "waiting,running").json["jobs"]
            return sorted(j["name"] for j in jobs if j["name"])
        self.assertEqual((names("mia"), names("ben")), (["mias"], ["bens"]))
        self.assertEqual((names("ada"), names("root")), (["bens", "mias"], ["bens", "mias"]))
        # For who may not see it a job is not there, whatever is asked.
        for words in (["show"], ["cancel"], ["wait", "--timeout", "0"], ["output"], ["remove"]):
            there = ctl("ben", *words, str(mias), status=4).err
            nowhere = ctl("ben", *words, "999999", status=4).err
            self.assertEqual(there.replace(str(mias), "N"), nowhere.replace("999999", "N"))
        ctl("ben", "queue", "pause", "worker", status=4)
        # The stranger does not get as far as to ask.
        told = ctl("eve", "list", status=3).err
        self.assertIn("denied", told)
        self.assertIn("awaitd", told)
        as_user("eve", "ls", STATE, status=2)
        self.assertEqual(self.root().get(mias)["owner"]["user"], "mia")
        # Who may cancel what.
        ctl("mia", "cancel", str(mias))
        ctl("ada", "cancel", str(bens))
        jobs = self.root().wait(mias, bens)
        self.assertEqual([j["error"]["by"] for j in jobs],
                         [pwd.getpwnam(u).pw_uid for u in ("mia", "ada")])

    def test_killed(self):
        c = self.root()
        timer = c.submit("timer", sleep=3600)
        waiting = c.submit("worker", argv=["true"], delay=3600)
        soon = c.submit("timer", sleep=2)
        worker = self.submit_shell(c, IGNORES_TERM)
        c.wait_state(worker, "running")
        pid, restarts = main_pid(), int(prop("NRestarts"))
        os.kill(pid, signal.SIGKILL)
        new = wait_for_main_pid_after(pid)
        self.assertEqual(int(prop("NRestarts")), restarts + 1)
        c = self.root()
        self.assert_done(c.wait_one(worker), "lost")
        self.assert_done(c.wait_one(soon["id"]))
        kept = [c.get(j["id"]) for j in (timer, waiting)]
        self.assertEqual([(j["state"], j["attempt"]) for j in kept],
                         [("running", 1), ("waiting", 0)])
        wait_until(lambda: set(processes_of_awaitd()) == {new, *children(new)}, 10,
                   "nothing is left of the worker")
        c.call("job.cancel", {"ids": [timer["id"], waiting["id"]]})

    def test_stuck(self):
        """A loop that does not turn feeds no watchdog."""
        self.addCleanup(drop_in("[Service]\nWatchdogSec=2s\n"))
        timer = self.root().submit("timer", sleep=3600)["id"]
        # Fed in time while all is well.
        pid = main_pid()
        sleep_until(time.monotonic() + 3)
        self.assertEqual((main_pid(), prop("NRestarts")), (pid, "0"))
        os.kill(pid, signal.SIGSTOP)
        wait_for_main_pid_after(pid)
        self.assertEqual(prop("NRestarts"), "1")
        self.assertIn("Watchdog timeout", journal("-u", SERVICE))
        c = self.root()
        self.assertEqual(c.get(timer)["state"], "running")
        c.call("job.cancel", {"ids": [timer]})

    def test_stop(self):
        """20 workers, 5 of which do not listen to SIGTERM, all with a child that ran away."""
        c = self.root()
        limit = c.call("queue.list")["queues"]
        limit = next(q["limit"] for q in limit if q["name"] == "worker")
        c.call("queue.set", {"name": "worker", "limit": 20})
        run_away = "setsid sleep 1000 & "
        jobs = [self.submit_shell(c, run_away + ("exec sleep 1000" if i % 4 else IGNORES_TERM))
                for i in range(20)]
        next_one = c.submit("worker", argv=["true"])["id"]
        timer = c.submit("timer", sleep=3600)["id"]
        for number in jobs:
            c.wait_state(number, "running")
        wait_until(lambda: list(processes_of_awaitd().values()).count("setsid sleep 1000") == 0
                   and list(processes_of_awaitd().values()).count("sleep 1000") >= 35, 20,
                   "all of them have begun")
        took = systemctl("stop", SERVICE).seconds
        print(f"stopped in {took:.1f} s", end=" ", flush=True)
        self.assertGreater(took, 4, "those that ignore SIGTERM have 5 s of grace")
        self.assertLess(took, 20, "stop_timeout")
        self.assertEqual(prop("Result"), "success")
        self.assertEqual(processes_of_awaitd(), {})
        self.assertNotIn("timed out", journal("-u", SERVICE, "--since", "-30s"))
        systemctl("start", SERVICE)
        c = self.root()
        for job in c.wait(*jobs):
            self.assert_done(job, "lost")
            self.assertEqual(job["attempt"], 1)
        self.assert_done(c.wait_one(next_one))
        self.assertEqual(c.get(timer)["state"], "running")
        c.call("job.cancel", {"ids": [timer]})
        c.call("queue.set", {"name": "worker", "limit": limit})

    def test_examples_allow_what_they_say(self):
        os.makedirs("/srv/data")
        run("chown", "awaitd:", "/srv/data")
        with open("/tmp/mark", "w", encoding="ascii"):
            pass
        c = self.root()
        cases = {
            "data": "touch /srv/data/x",
            "homes": "test -d /home/mia",
            "shared-tmp": "test -e /tmp/mark && touch /tmp/by-a-job",
            "devices": "test -e /dev/console",
            "debuggers": "test -e /proc/1/status",
            "sandboxes": "unshare --user --map-root-user --mount true",
            "network-tools": python("import socket; socket.socket(socket.AF_NETLINK, 3)"),
        }
        for name, script in cases.items():
            self.assertEqual(self.outcome_of_shell(c, script), "failed", f"without {name}")
        for name, script in cases.items():
            with self.subTest(name):
                self.with_example(name, lambda c, s=script: self.assert_shell(c, s))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            fcntl.ioctl(s, SIOCSIFADDR, struct.pack("16sHH4s8x", b"lo:1", socket.AF_INET, 0,
                                                    bytes([10, 1, 2, 3])))
        self.assert_shell(self.root(), python(TALK.replace("ADDRESS", "10.1.2.3")))
        self.with_example("no-network", self.check_no_network)
        self.with_example("resources", lambda c: self.assertEqual(prop("TasksMax"), "4096"))
        self.assertEqual({n[:-5] for n in os.listdir(EXAMPLES + "/systemd")},
                         {*cases, "no-network", "resources"}, "each example is tried")

    def with_example(self, name, check):
        with open(f"{EXAMPLES}/systemd/{name}.conf", encoding="utf-8") as f:
            undo = drop_in(f.read(), name + ".conf")
        try:
            with Client(SOCKET) as c:
                self.assertEqual(journal("-u", SERVICE, "--since", "-2s", "-p", "warning",
                                         "_PID=1"), "-- No entries --\n")
                check(c)
        finally:
            undo()

    def check_no_network(self, c):
        """In a machine that has but a loopback interface, with another address put to it."""
        self.assert_shell(c, python(TALK.replace("ADDRESS", "127.0.0.1")))
        self.assertIn("PermissionError", self.output_of_failed(
            c, python(TALK.replace("ADDRESS", "10.1.2.3"))))

    def output_of_failed(self, c, script):
        number = self.submit_shell(c, script)
        self.assert_done(c.wait_one(number), "failed")
        return c.output(number).decode()

    def test_example_of_metrics(self):
        """The timer has the service write a file that is whole."""
        folder, units = "/var/lib/prometheus/node-exporter", "/run/systemd/system"
        os.makedirs(folder)
        for name in ("awaitd-metrics.service", "awaitd-metrics.timer"):
            shutil.copy(f"{EXAMPLES}/metrics/{name}", units)
            self.addCleanup(os.unlink, f"{units}/{name}")
        systemctl("daemon-reload")
        self.addCleanup(systemctl, "stop", "awaitd-metrics.timer")
        self.assertEqual(run("systemd-analyze", "verify", "--man=no", "awaitd-metrics.service",
                             "awaitd-metrics.timer").err, "")
        systemctl("start", "awaitd-metrics.timer")
        wait_until(lambda: os.listdir(folder) == ["awaitd.prom"], 15, "the file is there")
        self.assertEqual(stat.S_IMODE(os.stat(folder + "/awaitd.prom").st_mode), 0o644)
        with open(folder + "/awaitd.prom", encoding="utf-8") as f:
            text = f.read()
        self.assertTrue(text.startswith("# ") and text.endswith("# EOF\n"), text)
        shutil.rmtree("/var/lib/prometheus")

    def test_upgrade(self):
        """Jobs of all sorts are there, and clients come all the time."""
        web = WebServer()
        self.addCleanup(web.stop)
        self.configure("[fetch]\nallow_networks = loopback\n")
        c = self.root()
        timer = c.submit("timer", sleep=3600)["id"]
        waiting = c.submit("worker", argv=["true"], delay=3600)["id"]
        fetch = c.submit("fetch", url=web.url("/hang"), idle_timeout=3600)["id"]
        cut = self.submit_shell(c, "exec sleep 1000")
        again = self.submit_shell(c, "exec sleep 1000", on_lost="retry")
        for number in (timer, fetch, cut, again):
            c.wait_state(number, "running")
        before = {j["id"]: j for j in c.list_all()}
        pid, since = main_pid(), prop("ActiveEnterTimestampMonotonic", LISTENER)
        waits = subprocess.Popen(["awaitctl", "wait", "--any", "--timeout", "60", str(waiting),
                                  str(cut)], stdout=subprocess.PIPE, text=True)
        with Load(3) as load:
            wait_until(lambda: load.answered > 50, 10, "clients come and go")
            run("dpkg", "-i", *UPGRADE)
            n = load.answered
            wait_until(lambda: load.answered > n + 50, 10, "clients come and go afterwards")
        print(f"{load.answered} answered, {load.cut} cut off", end=" ", flush=True)
        self.assertEqual(load.refused, [])
        self.assertLessEqual(load.cut, 3, "one of each at most, at the moment of the stop")
        self.assertIn("+upgrade", run("dpkg-query", "-W", "-f", "${Version}", "awaitd").out)
        self.assertNotEqual(main_pid(), pid)
        self.assertTrue(is_active())
        self.assertEqual(prop("ActiveEnterTimestampMonotonic", LISTENER), since,
                         "the socket was not touched")
        c = self.root()
        after = {j["id"]: j for j in c.list_all()}
        self.assertEqual(set(after), set(before))
        self.assert_done(c.wait_one(cut), "lost")
        self.assertEqual(waits.wait(20), 1)
        self.assertEqual(waits.stdout.read(), f"{cut} lost\n", "it went on with the new daemon")
        waits.stdout.close()
        for number in (fetch, again):
            wait_until(lambda n=number: c.get(n)["attempt"] == 2, 10, "it runs again")
        self.assertEqual((c.get(timer)["state"], c.get(timer)["attempt"]), ("running", 1))
        self.assertEqual(c.get(waiting)["state"], "waiting")
        c.call("job.cancel", {"ids": [timer, waiting, fetch, again]})
        c.wait(timer, waiting, fetch, again)

    def test_users_own(self):
        uid = pwd.getpwnam("mia").pw_uid
        run("loginctl", "enable-linger", "mia")
        here = f"/run/user/{uid}"
        wait_until(lambda: os.path.exists(here + "/systemd/private"), 20, "mia's manager runs")
        front = ["env", "XDG_RUNTIME_DIR=" + here]

        def mine(*words, **keys):
            return as_user("mia", *front, *words, **keys)
        self.assertEqual(mine("systemctl", "--user", "is-enabled", LISTENER, status=1).out,
                         "disabled\n", "it is for them to ask for it")
        mine("systemctl", "--user", "enable", "--now", LISTENER)
        self.assertEqual(mine("systemctl", "--user", "is-active", SERVICE, status=3).out,
                         "inactive\n")
        self.assertEqual(mine("awaitctl", "run", "worker", "--", "id", "-un").out, "mia\n")
        info = mine("awaitctl", "--json", "info").json
        self.assertEqual((info["uid"], info["state_dir"]),
                         (uid, "/home/mia/.local/state/awaitd"))
        timer = int(mine("awaitctl", "submit", "timer", "1h").out)

        def ask(name):
            return mine("systemctl", "--user", "show", "-p", name, "--value", SERVICE).out.strip()
        self.assertEqual((ask("ActiveState"), ask("StatusText")), ("active", "running"))
        mine("systemctl", "--user", "reload", SERVICE)
        os.kill(info["pid"], signal.SIGKILL)
        wait_until(lambda: ask("NRestarts") == "1" and ask("ActiveState") == "active", 15,
                   "it was started again")
        self.assertEqual(mine("awaitctl", "--json", "show", str(timer)).json["state"], "running")
        mine("systemctl", "--user", "stop", SERVICE, LISTENER)
        self.assertFalse(os.path.exists(here + "/awaitd/awaitd.sock"))

    def test_remove_stops_and_keeps(self):
        number = self.root().submit("timer", sleep=3600)["id"]
        run("dpkg", "--remove", "awaitd")
        self.assertEqual(processes_of_awaitd(), {})
        self.assertFalse(os.path.exists(SOCKET))
        self.assertTrue(os.path.exists(STATE + "/awaitd.db"))
        self.assertTrue(os.path.exists("/etc/awaitd/awaitd.conf"))
        ctl("root", "list", status=3)
        run("dpkg", "-i", *UPGRADE)
        self.assertTrue(is_active())
        self.assertEqual(self.root().get(number)["state"], "running")

    def test_purge_leaves_nothing(self):
        run("dpkg", "--purge", "awaitd", "awaitctl")
        self.assertEqual(run("systemctl", "list-units", "--all", "--plain", "--no-legend",
                             "awaitd*").out, "")
        for database in ("passwd", "group"):
            self.assertNotIn("awaitd", run("getent", database).out)
        # The test's own, and what each user has made in their home.
        others = [w for path in ("/home", "/src", "/debs", "/run/testbed", DROP_INS)
                  for w in ("-path", path, "-o")]
        left = run("find", "/", "/run", "-xdev", "(", *others, "-false", ")", "-prune", "-o", "(",
                   "-iname", "*awaitd*", "-o", "-iname", "*awaitctl*", ")", "-print").out
        self.assertEqual(left, "")
        run("rm", "-r", "/srv/data", "/tmp/by-a-job")
        self.assertEqual(run("find", "/", "/run", "-xdev", "-nouser", "-o", "-nogroup").out, "")


def python(text):
    return "exec python3 -c '" + text + "'"


# What programs do that a filter of system calls could get into the way of.
NEEDS = """
import mmap, os, select, socket, subprocess, tempfile, threading
m = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)  # as a JIT does
m.write(b"x")
t = threading.Thread(target=lambda: None); t.start(); t.join()
a, b = socket.socketpair(); a.send(b"x"); assert b.recv(1) == b"x"
s = socket.create_server(("127.0.0.1", 0))
c = socket.create_connection(s.getsockname()); s.accept()
socket.getaddrinfo("localhost", 80)
os.sched_setaffinity(0, os.sched_getaffinity(0))
os.setpriority(os.PRIO_PROCESS, 0, 5)
os.close(os.memfd_create("x"))
e = select.epoll(); e.register(a); e.poll(0)
with tempfile.NamedTemporaryFile() as f:
    os.chown(f.name, -1, os.getgid()); os.link(f.name, f.name + "2"); os.unlink(f.name + "2")
    os.posix_fallocate(f.fileno(), 0, 100); os.fsync(f.fileno())
import multiprocessing
with multiprocessing.Lock(): pass
assert subprocess.run(["true"]).returncode == 0
"""
# A datagram, to where nobody listens.
TALK = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.sendto(b"x", ("ADDRESS", 9))
"""


def in_order(one, other):
    """By the line in which they stand."""
    lines = [getattr(Installed, name).__code__.co_firstlineno for name in (one, other)]
    return lines[0] - lines[1]


if __name__ == "__main__":
    unittest.defaultTestLoader.sortTestMethodsUsing = in_order
    sys.argv[1:] = []
    main()
