#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The packages as files: what lintian says, what is in them, and whether the RPM's are the same.

Usage: tests/package/contents.py FOLDER (what packaging/build-deb has made)
"""
import fnmatch
import glob
import os
import re
import shutil
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
SPEC = os.path.join(TOP, "packaging", "awaitd.spec")
SKIP = 77
FOLDER = ""
# What RPM's own packages of macros would say, which Debian's rpm does not have.
MACROS = {
    "_unitdir": "/usr/lib/systemd/system", "_userunitdir": "/usr/lib/systemd/user",
    "_sysusersdir": "/usr/lib/sysusers.d", "_tmpfilesdir": "/usr/lib/tmpfiles.d",
    "systemd_requires": "Requires: systemd", "dist": "%nil",
    "sysusers_create_compat()": "true", "tmpfiles_create()": "true", "systemd_post()": "true",
    "systemd_user_post()": "true", "systemd_preun()": "true", "systemd_user_preun()": "true",
    "systemd_postun_with_restart()": "true",
}


def run(*argv):
    return subprocess.run(argv, stdin=subprocess.DEVNULL, text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def package(name):
    """The path of a package of the version that is in the changelog."""
    with open(os.path.join(TOP, "packaging", "debian", "changelog"), encoding="utf-8") as f:
        version = re.match(r"\S+ \((.*?)\)", f.readline()).group(1)
    return glob.glob(os.path.join(FOLDER, f"{name}_{version}_*.deb"))[0]


def files_of(name):
    lines = run("dpkg-deb", "-c", package(name)).stdout.splitlines()
    return sorted(line.split()[5][1:] for line in lines if not line.startswith("d"))


def field(name, which):
    return run("dpkg-deb", "-f", package(name), which).stdout.strip()


class Deb(unittest.TestCase):
    @unittest.skipUnless(shutil.which("lintian"), "there is no lintian")
    def test_lintian_has_nothing_to_say(self):
        changes = package("awaitd").replace(".deb", ".changes")
        self.assertEqual(run("lintian", "--allow-root", changes).stdout, "")

    def test_each_has_what_is_its(self):
        daemon, client = files_of("awaitd"), files_of("awaitctl")
        for path in ("/etc/awaitd/awaitd.conf", "/lib/systemd/system/awaitd.service",
                     "/lib/systemd/system/awaitd.socket", "/usr/bin/awaitd",
                     "/usr/lib/systemd/user/awaitd.service", "/usr/lib/sysusers.d/awaitd.conf",
                     "/usr/lib/systemd/user/awaitd.socket", "/usr/lib/tmpfiles.d/awaitd.conf",
                     "/usr/libexec/awaitd/awaitd-supervisor", "/usr/share/man/man8/awaitd.8.gz",
                     "/usr/share/man/man5/awaitd.conf.5.gz"):
            self.assertIn(path, daemon)
        for path in ("/usr/bin/awaitctl", "/usr/share/man/man1/awaitctl.1.gz",
                     "/usr/share/bash-completion/completions/awaitctl",
                     "/usr/share/fish/vendor_completions.d/awaitctl.fish",
                     "/usr/share/zsh/vendor-completions/_awaitctl"):
            self.assertIn(path, client)

    def test_all_examples_are_there(self):
        base = os.path.join(TOP, "packaging", "examples")
        wanted = {os.path.relpath(os.path.join(path, n), base) for path, _, names in os.walk(base)
                  for n in names}
        place = "/usr/share/doc/awaitd/examples/"
        got = {p[len(place):] for p in files_of("awaitd") if p.startswith(place)}
        self.assertEqual({n[:-3] if n.endswith(".gz") else n for n in got}, wanted)

    def test_the_client_needs_little(self):
        names = {re.match(r"\S+", d.strip()).group(0)
                 for d in field("awaitctl", "Depends").split(",")}
        self.assertEqual(names, {"libc6", "libjansson4"})
        self.assertIn("awaitctl (= ", field("awaitd", "Depends"))

    def test_upgrades_leave_the_socket_alone(self):
        for script in ("preinst", "postinst", "prerm"):
            text = run("dpkg-deb", "-I", package("awaitd"), script).stdout
            for line in text.splitlines():
                if "awaitd.socket" in line and "deb-systemd-invoke" in line:
                    self.assertRegex(line, r"invoke (start|stop) ")
        stop = re.search(r'^if.*\n.*invoke stop .awaitd.socket', run(
            "dpkg-deb", "-I", package("awaitd"), "prerm").stdout, re.M).group(0)
        self.assertIn('"$1" = remove', stop)


@unittest.skipUnless(shutil.which("rpmspec"), "there is no rpmspec (Debian's package rpm)")
class Rpm(unittest.TestCase):
    def spec(self):
        defines = [w for name, value in MACROS.items()
                   for w in ("--define", f"{name} {value}")]
        p = run("rpmspec", *defines, "-P", SPEC)
        self.assertEqual(p.returncode, 0, p.stdout)
        return p.stdout

    def test_the_parser_accepts_it(self):
        self.assertNotRegex(self.spec(), r"%\{|%\w+_|warning:|error:", "every macro has a meaning")

    def test_it_has_the_same_files(self):
        """What the Debian packages have, but for documents and the place of units."""
        text = self.spec()
        for name, section in (("awaitd", r"%files\n(.*?)\n\n"),
                              ("awaitctl", r"%files -n awaitctl\n(.*?)\n\n")):
            patterns = [line.split()[-1] for line in re.search(section, text, re.S).group(1)
                        .splitlines() if not line.startswith(("%license", "%doc", "%dir"))]
            files = [re.sub("^/lib/", "/usr/lib/", p.replace("/vendor-completions/",
                                                             "/site-functions/"))
                     for p in files_of(name) if not p.startswith("/usr/share/doc/")]
            for path in files:
                self.assertTrue(any(fnmatch.fnmatch(path, p + ("*" if p[-1] == "/" else ""))
                                    for p in patterns), f"{path} is in no line of {SPEC}")
            for p in patterns:
                self.assertTrue(any(fnmatch.fnmatch(path, p + ("*" if p[-1] == "/" else ""))
                                    for path in files), f"{p} of {SPEC} is in no package")


def main():
    global FOLDER
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    FOLDER = os.path.abspath(sys.argv.pop())
    result = unittest.main(exit=False, verbosity=2, testRunner=unittest.TextTestRunner(
        stream=sys.stdout, verbosity=2)).result
    n_failed = len(result.failures) + len(result.errors)
    n_skipped = len(result.skipped)
    print(f"{result.testsRun - n_failed - n_skipped} passed, {n_failed} failed, "
          f"{n_skipped} skipped", flush=True)
    raise SystemExit(1 if n_failed else 0)


if __name__ == "__main__":
    main()
