#!/usr/bin/env python3
"""Reloads under a stream of numbered events: every number once and in order, short pauses, nothing leaked.

    tests/soak/test_reloads.py GATEHOUSE [RELOADS [FLAT]]

Three parts, each with RELOADS reloads (1000), over the control socket:

  loss     100,000 numbers a second, handlers that wait, with `concurrency`, with `key`: reloads/numbers.lua looks at the order
  pause    a steady stream: the largest gap between two handled events around each reload
  flat     FLAT reloads (10 x RELOADS), then as many that fail, a tenth for each way to fail: memory and descriptors stay as they are

The load comes from the tool firehose beside the binary.
"""
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent / "reloads"
TOKEN = "token-of-the-soak"
PATIENCE_S = 120
SETTLE_S = 1         # for what is not a leak to be closed
PAUSE_MS = 2.0      # at p99, on top of what the machine does by itself
ROUNDS = 3          # the machine may have something else to do in one of them
GROWTH = 1.02       # of RSS
RATE = 5000         # events a second of the steady stream
FLOOD = 100_000     # of the other one; 1000 for each reload
HANDLERS = ("plain", "waits", "concurrent", "keyed")

FAILURES = {
    "syntax": "gw.on('number', function() end) local = 1",
    "raises": "gw.on('number', function() end) error('no')",
    "module": "require 'there_is_no_such_module'",
    "check": "gw.on('@start', function() error('not well') end)",
    "state": "gw.state.last = gw.state.last error('after the border')",
    "memory": "local all = {} while true do all[#all + 1] = string.rep('x', 1 << 20) .. #all end",
    "endless": "while true do end",
}


def check(condition, message):
    if not condition:
        sys.exit(f"not ok: {message}")


def await_that(condition, what):
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := condition()):
        check(time.monotonic() < deadline, f"waited for {what}")
        time.sleep(0.01)
    return answer


class Control:
    """The control socket of a running host."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(str(path))
        self.lines = self.socket.makefile("rb")

    def ask(self, command, **members):
        self.socket.sendall(json.dumps({"v": 1, "id": 1, "command": command, **members}).encode() + b"\n")
        return json.loads(self.lines.readline())

    def app(self, name):
        return next(app for app in self.ask("status")["result"]["apps"] if app["name"] == name)


class World:
    """The load, the host with the two apps, and what it logs."""

    def __init__(self, gatehouse, folder, count, rate, waits):
        self.folder = pathlib.Path(folder)
        self.app = self.folder / "numbers.lua"
        self.good = (HERE / "numbers.lua").read_text(encoding="utf-8")
        self.app.write_text(self.good, encoding="utf-8")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.firehose = subprocess.Popen([pathlib.Path(gatehouse).parent / "firehose", str(port)], stdout=subprocess.DEVNULL)
        await_that(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, "the load")
        (self.folder / "gatehouse.lua").write_text(
            f'return {{ url = "ws://127.0.0.1:{port}/", apps = {{\n'
            f'  numbers = {{ path = "numbers.lua", memory = "32MiB", cpu = 0.1, config = {{ waits = {str(waits).lower()} }} }},\n'
            f'  driver = {{ path = "{HERE}/driver.lua", config = {{ count = {count}, rate = {rate} }} }} }} }}\n', encoding="utf-8")
        clean = {key: value for key, value in os.environ.items()
                 if not key.startswith(("OPENCLAW_", "GATEHOUSE_", "XDG_")) and not key.lower().endswith("_proxy")}
        self.log = open(self.folder / "log", "w+", encoding="utf-8")
        self.host = subprocess.Popen(
            [gatehouse, "run", "--config", "gatehouse.lua", "--state-dir", "state", "--log-format", "json"], cwd=folder,
            env={**clean, "HOME": str(folder), "OPENCLAW_GATEWAY_TOKEN": TOKEN}, stderr=self.log)
        path = self.folder / "state/control.sock"
        await_that(path.exists, "the control socket")
        self.control = Control(path)

    def logged(self):
        return [json.loads(line) for line in (self.folder / "log").read_text(encoding="utf-8").splitlines() if line.endswith("}")]

    def all_sent(self):
        return next((entry for entry in self.logged() if entry["message"] == "all numbers were sent"), None)

    def reload(self):
        answer = self.control.ask("reload", app="numbers")
        check(answer["ok"], f"not reloaded: {answer}")

    def fail(self, name):
        self.app.write_text(FAILURES[name], encoding="utf-8")
        answer = self.control.ask("reload", app="numbers")
        check(not answer["ok"] and answer["error"]["code"] == "RELOAD_FAILED", f"{name} did not fail: {answer}")
        self.app.write_text(self.good, encoding="utf-8")

    def counts(self):
        process = pathlib.Path("/proc") / str(self.host.pid)
        return [len(list((process / "fd").iterdir())), len(list((process / "task").iterdir()))]

    def look(self):
        """RSS in KiB, descriptors and threads, once only one generation is left: the least of what is seen for a while, since a state that
        is being saved has a file open, and a leak stays."""
        await_that(lambda: not self.control.app("numbers")["draining"], "the old generation to end")
        deadline = time.monotonic() + SETTLE_S
        seen = [self.counts()]
        while time.monotonic() < deadline:
            time.sleep(0.01)
            seen.append(self.counts())
        status = (pathlib.Path("/proc") / str(self.host.pid) / "status").read_text(encoding="utf-8")
        return int(status.split("VmRSS:")[1].split()[0]), *map(min, zip(*seen))

    def end(self):
        self.host.terminate()
        check(self.host.wait(PATIENCE_S) == 0, f"exit status {self.host.returncode}: {self.logged()[-3:]}")
        errors = [entry for entry in self.logged() if entry["level"] == "error" and "was not reloaded" not in entry["message"]]
        check(not errors, f"errors: {errors[:3]}")
        lines = (self.folder / "state/apps/numbers/generations.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def close(self):
        for process in (self.host, self.firehose):
            process.kill()
            process.wait()
        self.log.close()


def in_world(gatehouse, part, **options):
    with tempfile.TemporaryDirectory() as folder:
        world = World(gatehouse, folder, **options)
        try:
            return part(world)
        finally:
            world.close()


def lose_nothing(gatehouse, reloads, waits):
    count = 1000 * reloads

    def part(world):
        done = 0
        while done < reloads or not world.all_sent():
            world.reload()
            done += 1
        await_that(lambda: world.control.app("numbers")["inbox"]["count"] == 0, "an empty inbox")
        generations = world.end()
        for name in HANDLERS:
            total = sum(generation["ends"].get(name, 0) for generation in generations)
            check(total == count, f"{name}: {total} of {count} numbers came to their end")
        secs = world.all_sent()["fields"]["secs"]
        print(f"loss: {count} numbers x {len(HANDLERS)} handlers, {count / secs:,.0f} numbers a second, {done} reloads, "
              f"{'with' if waits else 'without'} handlers that wait: each once and in order")

    in_world(gatehouse, part, count=count, rate=FLOOD, waits=waits)


def is_sanitized(gatehouse):
    binary = pathlib.Path(gatehouse).read_bytes()
    return b"__asan_init" in binary or b"__tsan_init" in binary


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def pause_shortly(gatehouse, reloads):
    """Each generation tells the largest gap that it saw, the one between its first event and the last of the one before included.
    What the machine does to a stream that nothing is done to is measured beside it, in windows of 20 ms."""
    def reloading(world):
        for _ in range(reloads):
            world.reload()
        # One that was replaced before it had an event saw none: the next one's counts for both.
        return [generation["gap_ms"] for generation in world.end()[1:] if generation["gap_ms"] > 0]

    def quiet(world):
        await_that(world.all_sent, "the end of the stream")
        return world.end()[0]["windows_ms"][1:]

    for _ in range(ROUNDS):
        gaps = in_world(gatehouse, reloading, count=10**9, rate=RATE, waits=False)
        noise = in_world(gatehouse, quiet, count=RATE * 4, rate=RATE, waits=False)
        p99, noise_p99 = percentile(gaps, 0.99), percentile(noise, 0.99)
        print(f"pause: the largest gap around each of {reloads} reloads at {RATE} events a second: p50 {percentile(gaps, 0.5):.2f} ms, "
              f"p99 {p99:.2f} ms, max {max(gaps):.2f} ms; without reloads p50 {percentile(noise, 0.5):.2f} ms, p99 {noise_p99:.2f} ms, "
              f"max {max(noise):.2f} ms")
        if p99 <= PAUSE_MS + noise_p99 or is_sanitized(gatehouse):
            return
    check(False, f"a pause of {p99:.2f} ms at p99, where the machine itself makes {noise_p99:.2f}")


def stay_flat(gatehouse, reloads):
    def part(world):
        # ThreadSanitizer holds back the signals that interrupt scripts.
        names = [name for name in FAILURES if name != "endless" or not is_sanitized(gatehouse)]
        for _ in range(max(reloads // 10, 50)):  # until the heap has settled
            world.reload()
        for name in names:
            world.fail(name)
        before = world.look()
        for _ in range(reloads):
            world.reload()
        after = world.look()
        for name in names:
            for _ in range(reloads // 10):
                world.fail(name)
        failed = world.look()
        world.end()
        print(f"flat: RSS, descriptors, threads: {before} before, {after} after {reloads} reloads, "
              f"{failed} after {reloads // 10} failed ones of each of {len(names)} kinds")
        for later in (after, failed):
            check(later[1:] == before[1:], f"descriptors or threads: {before} became {later}")
            check(is_sanitized(gatehouse) or later[0] <= before[0] * GROWTH, f"RSS: {before[0]} KiB became {later[0]}")

    in_world(gatehouse, part, count=10**9, rate=RATE, waits=True)


def main():
    gatehouse = os.path.abspath(sys.argv[1])
    reloads = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    flat = int(sys.argv[3]) if len(sys.argv) > 3 else 10 * reloads
    lose_nothing(gatehouse, reloads, waits=False)
    lose_nothing(gatehouse, reloads, waits=True)
    pause_shortly(gatehouse, max(reloads, 200))
    stay_flat(gatehouse, flat)
    print("ok")


if __name__ == "__main__":
    main()
