#!/usr/bin/env python3
"""Kill -9 while apps that save their state are reloaded: what test_kill_saves.py promises holds then, too.

    tests/soak/test_kill_reloads.py GATEHOUSE [COUNT]

The same apps, the same look at their files. Meanwhile each app is reloaded as soon as its last reload is answered; one in four fails after
it has taken the state over, and the generation before goes on. No generation begins with an older state than the ones before it.
"""
import json
import queue
import random
import socket
import threading
import time

from test_kill_saves import APPS, Host, SILENCE_S, Soak, check, main

REFUSAL = "this one does not load"


class ReloadedHost(Host):
    @staticmethod
    def is_expected(entry):
        refused = REFUSAL in json.dumps(entry) and entry.get("app") in APPS
        return refused or Host.is_expected(entry)


class Reloader(threading.Thread):
    """Reloads one app over the control socket until the host is gone; keeps the answers that it did not expect."""

    def __init__(self, path, app):
        super().__init__(daemon=True)
        self.app = app
        self.done = self.refused = 0
        self.odd = []
        self.peer = socket.socket(socket.AF_UNIX)
        self.peer.settimeout(SILENCE_S)
        self.peer.connect(str(path))

    def run(self):
        request = json.dumps({"v": 1, "id": self.app, "command": "reload", "app": self.app}).encode() + b"\n"
        try:
            with self.peer, self.peer.makefile("rb") as answers:
                while True:
                    self.peer.sendall(request)
                    line = answers.readline()
                    if not line.endswith(b"\n"):
                        return  # the host is dead
                    self.look(json.loads(line))
        except ConnectionError:
            pass
        except OSError as problem:
            self.odd.append(f"{self.app}: {problem}")

    def look(self, answer):
        if answer["ok"]:
            self.done += 1
        elif REFUSAL in answer["error"]["message"]:
            self.refused += 1
        else:
            self.odd.append(answer)


class ReloadSoak(Soak):
    def __init__(self, gatehouse, folder):
        super().__init__(gatehouse, folder)
        self.reloaders = []
        self.done = self.refused = 0

    def new_host(self):
        return ReloadedHost(self.gatehouse, self.folder)

    def begun(self):
        self.reloaders = [Reloader(self.state / "control.sock", app) for app in APPS]
        for reloader in self.reloaders:
            reloader.start()
        # The first save comes after a second, and finds some generations gone by.
        deadline = time.monotonic() + SILENCE_S
        while not all(reloader.done for reloader in self.reloaders):
            check(time.monotonic() < deadline, f"not every app was reloaded within {SILENCE_S} s")
            time.sleep(random.uniform(0, 0.005))

    def killed(self):
        for reloader in self.reloaders:
            reloader.join()
            check(not reloader.odd, f"a reload was answered with {reloader.odd}")
            self.done += reloader.done
            self.refused += reloader.refused
        self.look_at_generations()

    def look_at_generations(self):
        """What was logged since the apps began: the number that each generation began with."""
        newest = dict(self.numbers)
        while True:
            try:
                line = self.host.lines.get(timeout=SILENCE_S)
            except queue.Empty:
                line = None
            if line is None or not line.endswith("}"):
                return  # the end, or a line that was cut off by it
            entry = json.loads(line)
            check(self.host.is_expected(entry), f"this was logged: {line}")
            words = entry["message"].split("\t")
            if words[0] != "restored":
                continue
            app, number = entry["app"], int(words[1])
            check(number >= newest[app], f"a generation of {app} began with {number}, one before with {newest[app]}")
            newest[app] = number

    def run(self, count):
        super().run(count)
        check(all(self.changed.values()), f"reloads keep states from being saved; so many were: {self.changed}")
        check(self.refused > 0, f"of {self.done} reloads none failed")

    def summary(self):
        return f"{super().summary()}; {self.done} reloads, and {self.refused} that failed"


if __name__ == "__main__":
    main(ReloadSoak)
