#!/usr/bin/env python3
"""Runs one Lua test through the real binary and the simulator: scenario, apps, expected outcome, all in one file.

    tests/lua/run.py --gatehouse PATH FILE

A test file is named after the promise it keeps. It is Lua in sections, and the lines that begin a section are comments:

    --! sim: --legacy                 options of `gatehouse sim`
    --! run: --log-level debug        options of `gatehouse run`
    --! env: NAME=value               in the environment of `gatehouse run`
    --! exit: 1                       its exit status (0)
    --! ends: by itself               it ends by itself; otherwise SIGTERM comes when all that is expected was printed
    --! SIGHUP: PATTERN               it gets SIGHUP when a line of its log matches this regular expression
    --! restart: PATTERN              it gets SIGTERM then, and is started again with the same state
    --! log: PATTERN                  some line of its log must match this one …
    --! not-log: PATTERN              … and no line this one
    --! allow-errors                  lines of level error may be logged, by the simulator as well
    --! not-under: tsan               it needs signals that come at once: skipped where ThreadSanitizer holds them back
    --! timeout: 60                   seconds, for a machine that is slow
    --! scenario                      then Lua: what the simulated gateway does
    --! app NAME                      then Lua: an app (several). NAME/ makes it a folder with init.lua
    --! file PATH                     then a file in the working directory
    --! expect NAME                   then `--> text`: what that app prints, in this order and nothing else; `sim` is the
                                      scenario
    --! after SIGTERM                 what is expected below comes only then

An app prints with print(…), which is the log at level info. luacheck takes the whole file for one chunk: a line of Lua that
it should not see has `--| ` in front. Recordings are in the folder os.getenv "FIXTURES". All output is read as it comes;
nothing sleeps.
"""
import argparse
import difflib
import json
import os
import pathlib
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

TOKEN = "token-of-the-tests"
SINGLE = {"exit": "0", "ends": "", "timeout": "45", "not-under": ""}
MANY = {"sim", "run", "env", "log", "not-log", "SIGHUP", "restart"}
FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures"  # a scenario finds it in the environment
SHOWN = 40  # lines of each log, when a test fails
GRACE_S = 20  # to end, on top of the timeout


class Failure(Exception):
    """What the test expected and what came."""


class Test:
    """The sections of a test file."""

    def __init__(self, path):
        self.path = path
        self.options = {**SINGLE, **{name: [] for name in MANY}}
        self.allow_errors = False
        self.apps = []      # arguments of `gatehouse run`
        self.files = {}     # path -> text
        self.expected = {}  # name -> lines
        self.early = None   # how many lines of each, and how many patterns, are expected before SIGTERM; None: all
        self.parse(path.read_text(encoding="utf-8").splitlines())

    def parse(self, lines):
        take = None
        for number, line in enumerate(lines, 1):
            if line.startswith("--! "):
                take = self.directive(line[4:].strip(), number)
            elif take is not None:
                take(line, number)

    def directive(self, text, number):
        """Returns who takes the lines that follow."""
        word, _, rest = text.partition(" ")
        name = word.rstrip(":")
        if word == "scenario":
            return self.begin_file("scenario.lua", number)
        if word == "app":
            self.apps.append(rest if rest.endswith("/") else rest + ".lua")
            return self.begin_file(rest + "init.lua" if rest.endswith("/") else rest + ".lua", number)
        if word == "file":
            return self.begin_file(rest, number)
        if word == "expect":
            expected = self.expected.setdefault(rest, [])
            return lambda line, at: self.take_expected(expected, line, at)
        if text == "after SIGTERM":
            self.early = {name: len(lines) for name, lines in self.expected.items()}, len(self.options["log"])
        elif word == "allow-errors":
            self.allow_errors = True
        elif word.endswith(":") and name in SINGLE:
            self.options[name] = rest
        elif word.endswith(":") and name in MANY:
            self.options[name].append(rest)
        else:
            raise Failure(f"{self.path}:{number}: unknown directive `{text}`")
        return None

    def begin_file(self, path, number):
        lines = self.files[path] = []
        if path.endswith(".lua"):
            lines += [""] * number  # line numbers stay those of the test file
        return lambda line, _: lines.append(line.removeprefix("--| "))

    def take_expected(self, expected, line, number):
        if line.startswith("--> "):
            expected.append(line[4:])
        elif line.strip() and not line.startswith("-- "):
            raise Failure(f"{self.path}:{number}: an expect section has only lines like `--> text`")

    def words(self, name):
        return [word for value in self.options[name] for word in value.split()]

    def early_patterns(self):
        return self.options["log"][:self.early[1] if self.early else None]

    def early_lines(self, name):
        return self.early[0].get(name, 0) if self.early else len(self.expected[name])


class Program:
    """A running `gatehouse` whose log is read as it comes."""

    def __init__(self, command, folder, environment, changed):
        self.lines, self.entries = [], []
        self.changed = changed
        self.process = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
                                        errors="replace")
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            line = line.rstrip("\n")
            self.entries.append(self.entry(line))
            self.lines.append(line)
            self.changed.put(self)
        self.process.wait()
        self.changed.put(self)

    @staticmethod
    def entry(line):
        try:
            return json.loads(line)
        except ValueError:
            return {"level": "none", "message": line}

    def printed(self, app):
        return [entry["message"] for entry in self.entries if entry.get("app") == app and entry["level"] == "info"]

    def logged(self, pattern):
        return any(re.search(pattern, line) for line in self.lines)

    def ended(self):
        return not self.reader.is_alive()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.reader.join(10)


class Run:
    """One test: the simulator, the host, and what they said."""

    def __init__(self, test, gatehouse, folder):
        self.test, self.gatehouse, self.folder = test, gatehouse, pathlib.Path(folder)
        self.changed = queue.Queue()
        self.deadline = time.monotonic() + float(test.options["timeout"])
        self.sim = None
        self.hosts = []
        for name, lines in test.files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def start(self, *arguments, **environment):
        clean = {key: value for key, value in os.environ.items()
                 if not key.startswith(("OPENCLAW_", "GATEHOUSE_", "XDG_")) and not key.lower().endswith("_proxy")}
        clean.update(HOME=str(self.folder), TZ="UTC", FIXTURES=str(FIXTURES), **environment)
        return Program([self.gatehouse, *arguments, "--log-format", "json"], self.folder, clean, self.changed)

    def wait_for(self, condition, what):
        while not condition():
            left = self.deadline - time.monotonic()
            if left <= 0:
                raise Failure(f"waited for {what}")
            try:
                self.changed.get(timeout=min(left, 0.1))
            except queue.Empty:
                pass

    def start_simulator(self):
        port_file = self.folder / "port"
        scenario = ["scenario.lua"] if "scenario.lua" in self.test.files else []
        self.sim = self.start("sim", "--listen", "127.0.0.1:0", "--token", TOKEN, "--port-file", str(port_file),
                              *self.test.words("sim"), *scenario)
        self.wait_for(lambda: port_file.exists() or self.sim.ended(), "the simulator to listen")
        if self.sim.ended():
            raise Failure("the simulator did not start")
        return int(port_file.read_text())

    def start_host(self, port):
        environment = {"OPENCLAW_GATEWAY_URL": f"ws://127.0.0.1:{port}/", "OPENCLAW_GATEWAY_TOKEN": TOKEN}
        environment.update(entry.split("=", 1) for entry in self.test.options["env"])
        host = self.start("run", *self.test.words("run"), *self.test.apps, **environment)
        self.hosts.append(host)
        return host

    def printed(self, name):
        programs = [self.sim] if name == "sim" else self.hosts
        return [message for program in programs for message in program.printed(name)]

    def all_printed(self):
        test = self.test
        return all(len(self.printed(name)) >= test.early_lines(name) for name in test.expected) and all(
            any(host.logged(pattern) for host in self.hosts) for pattern in test.early_patterns())

    def signal_when(self, host, number, condition, what):
        self.wait_for(lambda: condition() or host.ended(), what)
        if not host.ended():
            host.process.send_signal(number)

    def end(self, host):
        self.deadline = max(self.deadline, time.monotonic() + GRACE_S)
        self.wait_for(host.ended, "the host to end")
        if host.process.returncode != int(self.test.options["exit"]):
            raise Failure(f"exit status {host.process.returncode}, expected {self.test.options['exit']}")

    def run_hosts(self, port):
        for pattern in self.test.options["restart"]:
            host = self.start_host(port)
            self.signal_when(host, signal.SIGTERM, lambda: host.logged(pattern), f"{pattern!r} in the log")
            self.end(host)
        host = self.start_host(port)
        for pattern in self.test.options["SIGHUP"]:
            self.signal_when(host, signal.SIGHUP, lambda: host.logged(pattern), f"{pattern!r} in the log")
        if self.test.options["ends"] != "by itself":
            self.signal_when(host, signal.SIGTERM, self.all_printed, "what is expected")
        self.end(host)

    def run(self):
        port = self.start_simulator()
        try:
            self.run_hosts(port)
            self.sim.process.send_signal(signal.SIGTERM)
            self.wait_for(self.sim.ended, "the simulator to end")
        except Failure as failure:
            self.close()
            self.check()  # says more, as a rule
            raise failure
        self.check()
        if self.sim.process.returncode != 0:
            raise Failure(f"the simulator ended with exit status {self.sim.process.returncode}")

    def check(self):
        for name, expected in self.test.expected.items():
            if self.printed(name) != expected:
                raise Failure(f"{name} printed something else:\n" + "\n".join(
                    difflib.unified_diff(expected, self.printed(name), "expected", "printed", lineterm="")))
        for pattern in self.test.options["log"]:
            if not any(host.logged(pattern) for host in self.hosts):
                raise Failure(f"no line of the log matches {pattern!r}")
        for pattern in self.test.options["not-log"]:
            if any(host.logged(pattern) for host in self.hosts):
                raise Failure(f"a line of the log matches {pattern!r}")
        for program in (*self.hosts, self.sim):
            for entry in program.entries:
                if not self.is_fine(entry):
                    raise Failure(f"unexpected in the log: {entry}")

    def is_fine(self, entry):
        """What is no line of the log (said before there is one, or by a sanitizer) must have been expected."""
        if entry["level"] == "none":
            return any(re.search(pattern, entry["message"]) for pattern in self.test.options["log"])
        return entry["level"] != "error" or self.test.allow_errors

    def report(self):
        named = [("simulator", self.sim)] + [(f"host {i}", host) for i, host in enumerate(self.hosts, 1)]
        for name, program in named:
            if program:
                print(f"--- {name}\n" + "\n".join(program.lines[-SHOWN:]))

    def close(self):
        for program in (*self.hosts, self.sim):
            if program:
                program.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gatehouse", required=True)
    parser.add_argument("file", type=pathlib.Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = None
        try:
            test = Test(options.file)
            if test.options["not-under"] and f"__{test.options['not-under']}_init".encode() in pathlib.Path(options.gatehouse).read_bytes():
                print(f"skipped {options.file.stem}: not under {test.options['not-under']}")
                sys.exit(77)
            run = Run(test, os.path.abspath(options.gatehouse), folder)
            run.run()
            print(f"ok {options.file.stem}")
        except Failure as failure:
            print(f"not ok {options.file.stem}: {failure}")
            if run:
                run.report()
            sys.exit(1)
        finally:
            if run:
                run.close()


if __name__ == "__main__":
    main()
