#!/usr/bin/env python3
"""Runs one Lua test through the real binary and the simulator: scenario, apps, expected outcome, all in one file.

    tests/lua/run.py --gatehouse PATH FILE

A test file is named after the promise it keeps. It is Lua in sections, and the lines that begin a section are comments:

    --! sim: --legacy                 options of `gatehouse sim`
    --! run: --log-level debug        options of `gatehouse run`
    --! env: NAME=value               in the environment of `gatehouse run`
    --! exit: 1                       its exit status (0)
    --! ends: by itself               it ends by itself; otherwise SIGTERM comes when all that is expected was printed
    --! log: PATTERN                  a regular expression that some line of its log must match …
    --! not-log: PATTERN              … and one that no line may match
    --! allow-errors                  lines of level error may be logged
    --! timeout: 20                   seconds
    --! scenario                      then Lua: what the simulated gateway does
    --! app NAME                      then Lua: an app (several)
    --! expect NAME                   then `--> text`: what that app prints, in this order and nothing else

An app prints with print(…), which is the log at level info. All output is read as it comes; nothing sleeps.
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
PATIENCE_S = 20
SINGLE = {"exit", "ends", "timeout"}
MANY = {"sim", "run", "env", "log", "not-log"}


class Failure(Exception):
    """What the test expected and what came."""


class Test:
    """The sections of a test file."""

    def __init__(self, path):
        self.path = path
        self.options = {"sim": [], "run": [], "env": [], "log": [], "not-log": [], "exit": "0", "ends": "", "timeout": str(PATIENCE_S)}
        self.allow_errors = False
        self.scenario = None
        self.apps = {}
        self.expected = {}
        self.parse(path.read_text().splitlines())

    def parse(self, lines):
        current = None
        for number, line in enumerate(lines, 1):
            if line.startswith("--! "):
                current = self.directive(line[4:].strip(), number)
            elif current is not None:
                current(line, number)

    def directive(self, text, number):
        """Returns who takes the lines that follow."""
        word, _, rest = text.partition(" ")
        if word == "scenario":
            self.scenario = "\n" * number
            return self.take_scenario
        if word == "app":
            self.apps[rest] = "\n" * number  # line numbers stay those of the test file
            return lambda line, _: self.apps.update({rest: self.apps[rest] + line + "\n"})
        if word == "expect":
            self.expected[rest] = []
            return lambda line, at: self.take_expected(rest, line, at)
        if word == "allow-errors":
            self.allow_errors = True
            return None
        name = word.rstrip(":")
        if name in SINGLE:
            self.options[name] = rest
        elif name in MANY:
            self.options[name].append(rest)
        else:
            raise Failure(f"{self.path}:{number}: unknown directive `{text}`")
        return None

    def take_scenario(self, line, _):
        self.scenario += line + "\n"

    def take_expected(self, app, line, number):
        if line.startswith("--> "):
            self.expected[app].append(line[4:])
        elif line.strip() and not line.startswith("--"):
            raise Failure(f"{self.path}:{number}: an expect section has only lines like `--> text`")

    def words(self, name):
        return [word for value in self.options[name] for word in value.split()]


class Program:
    """A running `gatehouse` whose stderr is read as it comes."""

    def __init__(self, command, environment, changed):
        self.lines = []
        self.changed = changed
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            self.changed.put(self)
        self.process.wait()
        self.changed.put(self)

    def ended(self):
        return self.process.poll() is not None

    def end(self):
        if not self.ended():
            os.killpg(self.process.pid, signal.SIGKILL)
        self.reader.join(10)


class Run:
    """One test: the simulator, the host, and what they said."""

    def __init__(self, test, gatehouse, folder):
        self.test, self.gatehouse, self.folder = test, gatehouse, pathlib.Path(folder)
        self.changed = queue.Queue()
        self.deadline = time.monotonic() + float(test.options["timeout"])
        self.sim = self.host = None

    def environment(self, **more):
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("OPENCLAW_", "GATEHOUSE_"))}
        clean.update(HOME=str(self.folder), XDG_STATE_HOME=str(self.folder / "state"), NO_COLOR="1", **more)
        return clean

    def await_condition(self, condition, what):
        while not condition():
            left = self.deadline - time.monotonic()
            if left <= 0:
                raise Failure(f"waited for {what}")
            try:
                self.changed.get(timeout=min(left, 0.5))
            except queue.Empty:
                pass

    def start_simulator(self):
        port_file = self.folder / "port"
        command = [self.gatehouse, "sim", "--listen", "127.0.0.1:0", "--token", TOKEN, "--port-file", str(port_file)]
        command += self.test.words("sim")
        if self.test.scenario is not None:
            scenario = self.folder / "scenario.lua"
            scenario.write_text(self.test.scenario)
            command.append(str(scenario))
        self.sim = Program(command, self.environment(), self.changed)
        self.await_condition(lambda: port_file.exists() or self.sim.ended(), "the simulator to listen")
        if self.sim.ended():
            raise Failure("the simulator did not start")
        return int(port_file.read_text())

    def start_host(self, port):
        command = [self.gatehouse, "run", "--log-format", "json", *self.test.words("run")]
        for name, text in self.test.apps.items():
            path = self.folder / f"{name}.lua"
            path.write_text(text)
            command.append(str(path))
        extra = dict(entry.split("=", 1) for entry in self.test.options["env"])
        url = {"OPENCLAW_GATEWAY_URL": f"ws://127.0.0.1:{port}/", "OPENCLAW_GATEWAY_TOKEN": TOKEN}
        self.host = Program(command, self.environment(**{**url, **extra}), self.changed)

    def entries(self):
        for line in self.host.lines:
            try:
                entry = json.loads(line)
            except ValueError:
                entry = {"level": "none", "message": line}
            yield entry

    def printed(self, app):
        return [entry["message"] for entry in self.entries() if entry.get("app") == app and entry["level"] == "info"]

    def all_printed(self):
        return all(len(self.printed(app)) >= len(lines) for app, lines in self.test.expected.items()) and all(
            any(re.search(pattern, line) for line in self.host.lines) for pattern in self.test.options["log"])

    def check(self):
        for app, expected in self.test.expected.items():
            if self.printed(app) != expected:
                raise Failure(f"app {app} printed something else:\n" + "\n".join(
                    difflib.unified_diff(expected, self.printed(app), "expected", "printed", lineterm="")))
        for pattern in self.test.options["log"]:
            if not any(re.search(pattern, line) for line in self.host.lines):
                raise Failure(f"no line of the log matches {pattern!r}")
        for pattern in self.test.options["not-log"]:
            for line in self.host.lines:
                if re.search(pattern, line):
                    raise Failure(f"the log must not match {pattern!r}: {line}")
        for entry in self.entries():
            if entry["level"] == "none" or (entry["level"] == "error" and not self.test.allow_errors):
                raise Failure(f"unexpected in the log: {entry}")
        if self.host.process.returncode != int(self.test.options["exit"]):
            raise Failure(f"exit status {self.host.process.returncode}, expected {self.test.options['exit']}")

    def run(self):
        self.start_host(self.start_simulator())
        ends_by_itself = self.test.options["ends"] == "by itself"
        if not ends_by_itself:
            try:
                self.await_condition(lambda: self.all_printed() or self.host.ended(), "what is expected")
            except Failure as failure:
                self.host.end()
                self.check()  # says more, as a rule
                raise failure
            if not self.host.ended():
                self.host.process.send_signal(signal.SIGTERM)
        self.deadline = max(self.deadline, time.monotonic() + 10)
        self.await_condition(self.host.ended, "the host to end")
        self.host.reader.join()
        self.check()

    def report(self):
        for name, program in (("simulator", self.sim), ("host", self.host)):
            if program:
                print(f"--- {name}\n" + "\n".join(program.lines[-60:]))

    def close(self):
        for program in (self.host, self.sim):
            if program:
                program.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gatehouse", required=True)
    parser.add_argument("file", type=pathlib.Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = None
        try:
            run = Run(Test(options.file), os.path.abspath(options.gatehouse), folder)
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
