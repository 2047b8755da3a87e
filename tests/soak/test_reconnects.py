#!/usr/bin/env python3
"""Forced reconnects under traffic: each handler once per event, every request ended once, and nothing leaked.

    tests/soak/test_reconnects.py GATEHOUSE [COUNT]

The scenario ends every connection in another way (reconnects/scenario.lua); the app looks at what reaches it (reconnects/app.lua);
this looks at the process from outside: threads, descriptors, memory, and the counters that it logs at its end. The host would wait
up to half a minute between connections: SIGHUP makes it connect at once.
"""
import json
import os
import pathlib
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent / "reconnects"
TOKEN = "token-of-the-soak"
COUNT = 1000
SILENCE_S = 120  # without a word from the host it has failed
GROWTH_KIB = 1024  # what the heap may differ in between two looks; a leak of one kilobyte per connection would be as much


class Failure(Exception):
    pass


def check(condition, message):
    if not condition:
        raise Failure(message)


class Program:
    """A running `gatehouse`; its log comes through a queue."""

    def __init__(self, command, folder, environment):
        self.process = subprocess.Popen([*command, "--log-format", "json"], cwd=folder, env=environment,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        encoding="utf-8", errors="replace")
        self.lines = queue.Queue()
        self.recent = []
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stderr:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def entries(self):
        """Every line of the log, until it ends."""
        while True:
            try:
                line = self.lines.get(timeout=SILENCE_S)
            except queue.Empty:
                raise Failure(f"nothing came for {SILENCE_S} s") from None
            if line is None:
                return
            self.recent = [*self.recent[-39:], line]
            try:
                entry = json.loads(line)
            except ValueError:
                raise Failure(f"no line of a log: {line}") from None
            check(entry["level"] != "error", f"an error was logged: {line}")
            yield entry

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Look:
    """What a process has at this moment."""

    def __init__(self, process, lua_kib):
        folder = pathlib.Path("/proc") / str(process.pid)
        self.threads = len(list((folder / "task").iterdir()))
        self.descriptors = sorted(os.readlink(entry).split(":")[0] for entry in (folder / "fd").iterdir())
        self.lua_kib = lua_kib
        status = (folder / "status").read_text(encoding="utf-8")
        self.rss_kib = int(status.split("VmRSS:")[1].split()[0])
        # The sanitizers keep what is freed; AddressSanitizer tells leaks at the end.
        self.is_sanitized = any(name in (folder / "maps").read_text(encoding="utf-8") for name in ("libasan", "libtsan"))

    def compare(self, later):
        check(later.threads == self.threads, f"{self.threads} threads became {later.threads}")
        check(later.descriptors == self.descriptors, f"the descriptors {self.descriptors} became {later.descriptors}")
        check(later.lua_kib - self.lua_kib < 64, f"{self.lua_kib} KiB of Lua became {later.lua_kib}")
        check(self.is_sanitized or later.rss_kib - self.rss_kib < GROWTH_KIB,
              f"{self.rss_kib} KiB of memory became {later.rss_kib}")


class Soak:
    def __init__(self, gatehouse, count, folder):
        self.gatehouse, self.count, self.folder = gatehouse, count, pathlib.Path(folder)
        self.holds = [max(count // 2, 1), count]  # by the first one every way to end has come about, and the heap has settled
        self.looks = []
        self.sim = self.host = None

    def environment(self, **more):
        clean = {key: value for key, value in os.environ.items()
                 if not key.startswith(("OPENCLAW_", "GATEHOUSE_", "XDG_")) and not key.lower().endswith("_proxy")}
        return {**clean, "HOME": str(self.folder), **more}

    def start_simulator(self):
        port = self.folder / "port"
        self.sim = Program([self.gatehouse, "sim", "--listen", "127.0.0.1:0", "--token", TOKEN, "--tick-ms", "300",
                            "--port-file", str(port), str(HERE / "scenario.lua")], self.folder, self.environment())
        deadline = time.monotonic() + SILENCE_S
        while not port.exists():
            check(self.sim.process.poll() is None and time.monotonic() < deadline, "the simulator does not listen")
            time.sleep(0.01)
        return int(port.read_text(encoding="utf-8"))

    def start_host(self, port):
        script = self.folder / "app.lua"
        script.write_text((HERE / "app.lua").read_text(encoding="utf-8"), encoding="utf-8")
        self.host = Program(
            [self.gatehouse, "run", str(script), "--log-level", "debug"], self.folder,
            self.environment(OPENCLAW_GATEWAY_URL=f"ws://127.0.0.1:{port}/", OPENCLAW_GATEWAY_TOKEN=TOKEN,
                             SOAK_COUNT=str(self.count), SOAK_HOLDS=" ".join(map(str, self.holds))))

    def take(self, words):
        """A line that the app printed."""
        if words[0] == "hold":
            self.looks.append(Look(self.host.process, int(words[2])))
            (self.folder / f"go-{words[1]}").touch()
        elif words[0] == "done":
            self.host.end()
            self.asked = [int(word) for word in words[1:]]

    def run(self):
        self.start_host(self.start_simulator())
        counters = None
        for entry in self.host.entries():
            message = entry["message"]
            if entry.get("app") == "app":
                self.take(message.split("\t"))
            elif "; next try in" in message:
                self.host.end(signal.SIGHUP)
            elif message == "counters":
                counters = entry["fields"]
        check(self.host.process.wait() == 0, f"exit status {self.host.process.returncode}")
        check(len(self.looks) == 2, "the app did not come to its end")
        check(counters, "no counters were logged")
        self.looks[0].compare(self.looks[1])
        self.compare(counters)
        self.sim.end()
        check(self.sim.process.wait(SILENCE_S) == 0, f"the simulator's exit status is {self.sim.process.returncode}")
        return counters

    def compare(self, counters):
        asked, answered, lost = self.asked
        check(counters["connections"] == self.count, f"{self.count} connections were due: {counters}")
        check(counters["requests"] == counters["ended"] == asked, f"of {asked} requests not each ended once: {counters}")
        check(counters["ended_ok"] == answered and counters["ended_disconnected"] == lost,
              f"{answered} answered and {lost} lost is what the app saw: {counters}")
        check(asked == answered + lost, f"{asked} requests, but {answered} answered and {lost} lost")
        check(counters["lost_messages"] == counters["unknown_responses"] == 0, f"something was lost: {counters}")

    def close(self):
        for program in (self.host, self.sim):
            if program:
                program.kill()


def main():
    count = int(sys.argv[2]) if len(sys.argv) > 2 else COUNT
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(os.path.abspath(sys.argv[1]), count, folder)
        begun = time.monotonic()
        try:
            counters = soak.run()
            print(f"{count} connections in {time.monotonic() - begun:.0f} s; {counters['requests']} requests; "
                  f"{soak.looks[0].rss_kib} KiB, then {soak.looks[1].rss_kib} KiB")
        except Failure as failure:
            print(f"failed: {failure}")
            for program in (soak.host, soak.sim):
                print("---", *(program.recent if program else []), sep="\n")
            sys.exit(1)
        finally:
            soak.close()


if __name__ == "__main__":
    main()
