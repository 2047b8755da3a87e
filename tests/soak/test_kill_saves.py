#!/usr/bin/env python3
"""Kill -9 while apps save their state: what is on the disk is the last state or the one before, never a broken one.

    tests/soak/test_kill_saves.py GATEHOUSE [COUNT]

Three apps (kill_saves/app.lua) with small and large states change them all the time, and the host saves them each second. It is killed
most of the times while a file is being written, otherwise whenever. Then this looks at every file, without Gatehouse: header, size, checksum,
and that its number is not lower than before; the next host restores them, and each app checks what it got.

test_kill_reloads.py does the same while the apps are reloaded.
"""
import hashlib
import json
import os
import pathlib
import queue
import random
import re
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent / "kill_saves"
APPS = ["small", "medium", "large"]
COUNT = 200
SILENCE_S = 60  # without a word from the host, or without a save, it has failed
HEADER = 8 + 4 + 8 + 32
MARK = re.compile(rb"mark:(\d+):")


class Failure(Exception):
    pass


def check(condition, message):
    if not condition:
        raise Failure(message)


def number_in(path):
    """The number that a state file holds; 0 if there is no file."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return 0
    content = data[HEADER:]
    check(data[:12] == b"GHstate\n\1\0\0\0", f"{path} begins with {data[:12]}")
    check(int.from_bytes(data[12:20], "little") == len(content), f"{path} has {len(content)} bytes of content: another size is in it")
    check(data[20:HEADER] == hashlib.sha256(content).digest(), f"the checksum of {path} is wrong")
    marks = MARK.findall(content)
    check(len(marks) == 1, f"{path} has {len(marks)} marks")
    return int(marks[0])


class Host:
    """A running `gatehouse run`; its log comes through a queue."""

    def __init__(self, gatehouse, folder):
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("OPENCLAW_", "GATEHOUSE_", "XDG_"))}
        scripts = [str(folder / f"{app}.lua") for app in APPS]
        self.process = subprocess.Popen(
            [gatehouse, "run", "--url", "ws://127.0.0.1:1/", "--log-format", "json", *scripts], cwd=folder,
            env={**clean, "HOME": str(folder), "OPENCLAW_GATEWAY_TOKEN": "none"}, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8", errors="replace")
        self.lines = queue.Queue()
        self.recent = []
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stderr:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def entry(self):
        try:
            line = self.lines.get(timeout=SILENCE_S)
        except queue.Empty:
            raise Failure(f"nothing came for {SILENCE_S} s") from None
        check(line is not None, "the host ended by itself")
        self.recent = [*self.recent[-39:], line]
        try:
            entry = json.loads(line)
        except ValueError:
            raise Failure(f"no line of a log: {line}") from None
        check(self.is_expected(entry), f"this was logged: {line}")
        return entry

    @staticmethod
    def is_expected(entry):
        return entry["level"] != "error" and "state.bin" not in entry["message"]

    def restored(self):
        """What each app found, once all of them have begun."""
        numbers, begun = {}, 0
        while begun < len(APPS):
            entry = self.entry()
            words = entry["message"].split("\t") if entry.get("app") in APPS else [""]
            if words[0] == "restored":
                numbers[entry["app"]] = int(words[1])
            begun += words[0] == "begun"
        return numbers

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Soak:
    """Rounds of a host that is killed. Who has more to do meanwhile says so in begun() and killed()."""

    def __init__(self, gatehouse, folder):
        self.gatehouse, self.folder = gatehouse, pathlib.Path(folder)
        self.state = self.folder / ".local/state/gatehouse"
        self.data = {app: self.state / "apps" / app for app in APPS}
        self.numbers = dict.fromkeys(APPS, 0)
        self.unfinished = 0
        self.changed = dict.fromkeys(APPS, 0)
        self.host = None
        for app in APPS:
            (self.folder / f"{app}.lua").write_text((HERE / "app.lua").read_text(encoding="utf-8"), encoding="utf-8")

    def new_host(self):
        return Host(self.gatehouse, self.folder)

    def begun(self):
        """The apps have begun, and what they restored is what was on the disk."""

    def killed(self):
        """The host is dead."""

    def summary(self):
        return f"{self.unfinished} writes were cut off, {sum(self.changed.values())} states were newer than the ones before"

    def unfinished_files(self):
        return [path for data in self.data.values() for path in data.glob("state.bin.??????")]

    def await_write(self, before):
        """A file that was not there before is being written."""
        deadline = time.monotonic() + SILENCE_S
        while set(self.unfinished_files()) <= before:
            check(time.monotonic() < deadline, f"nothing was written for {SILENCE_S} s")
            time.sleep(0.0003)

    def round(self, number):
        self.host = self.new_host()
        restored = self.host.restored()
        check(restored == self.numbers, f"{self.numbers} was on the disk, and {restored} restored")
        left_over = set(self.unfinished_files())
        check(len(left_over) <= len(APPS), f"more and more is left over: {left_over}")
        self.begun()
        if number % 4 == 0:
            time.sleep(random.uniform(0, 1.5))
        else:
            self.await_write(left_over)
            time.sleep(random.uniform(0, 0.03))
        before = {app: number_in(data / "state.bin") for app, data in self.data.items()}
        self.host.kill()
        self.killed()
        self.unfinished += len(set(self.unfinished_files()) - left_over)
        for app, data in self.data.items():
            now = number_in(data / "state.bin")
            check(now >= before[app] >= self.numbers[app], f"{app} had {before[app]}, and then {now}")
            self.changed[app] += now > self.numbers[app]
            self.numbers[app] = now

    def run(self, count):
        for number in range(1, count + 1):
            self.round(number)
        check(any(self.changed.values()), "nothing was ever saved")


def main(kind):
    count = int(sys.argv[2]) if len(sys.argv) > 2 else COUNT
    with tempfile.TemporaryDirectory() as folder:
        soak = kind(os.path.abspath(sys.argv[1]), folder)
        begun = time.monotonic()
        try:
            soak.run(count)
            print(f"{count} kills in {time.monotonic() - begun:.0f} s; {soak.summary()}")
        except Failure as failure:
            print(f"failed: {failure}")
            print("---", *(soak.host.recent if soak.host else []), sep="\n")
            sys.exit(1)
        finally:
            if soak.host:
                soak.host.kill()


if __name__ == "__main__":
    main(Soak)
