"""The gatehouse binary as a user has it: url and token in the environment, nothing else configured."""

import collections
import json
import os
import shutil
import signal

from children import MARK, Child, Failure

APPS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "apps")
CALL_S = 90  # a call gives up before, by itself
END_S = 15

Answer = collections.namedtuple("Answer", "status out err")


class Machine:
    """An account on which gatehouse runs for the first time: without state, hence a device that no gateway knows."""

    def __init__(self, gatehouse, folder, log_folder, url, token, mark):
        self.gatehouse = gatehouse
        self.folder = folder
        self.log_folder = log_folder
        self.state = os.path.join(folder, "state", "gatehouse")
        self._started = []
        self.environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": folder,
            "LANG": "C.UTF-8",
            "XDG_STATE_HOME": os.path.join(folder, "state"),
            "OPENCLAW_GATEWAY_URL": url,
            "OPENCLAW_GATEWAY_TOKEN": token,
            MARK: mark,
        }
        for name in ("ASAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"):
            if name in os.environ:
                self.environment[name] = os.environ[name]

    def start(self, *arguments, kind=Child):
        """Starts gatehouse with these arguments; it is ended with the machine."""
        name = "gatehouse " + arguments[0]
        log_path = os.path.join(self.log_folder, f"{len(self._started) + 1}-{arguments[0]}.log")
        child = kind(name, [self.gatehouse, *arguments], log_path, self.environment, self.folder)
        self._started.append(child)
        return child

    def ask(self, *arguments):
        """Runs a command that ends by itself."""
        child = self.start(*arguments)
        status = child.wait(CALL_S)
        return Answer(status, "\n".join(child.out), "\n".join(child.err))

    def call(self, method, parameters=None, options=()):
        rest = [] if parameters is None else [json.dumps(parameters)]
        return self.ask("call", *options, method, *rest)

    def result(self, method, parameters=None, options=()):
        """The payload of a call that has to succeed."""
        answer = self.call(method, parameters, options)
        if answer.status != 0:
            raise Failure(f"call {method} ended with {answer.status}: {answer.err}")
        return json.loads(answer.out)

    def run(self, app, config=None, copied=False, options=()):
        """Runs one of the apps of this folder, optionally with a section of configuration of its own (Lua text).

        What is run is a copy in the machine's folder if it is to be edited.
        """
        script = os.path.join(APPS, app + ".lua")
        options = [*options, "--log-format", "json"]
        if copied:
            script = shutil.copy(script, self.folder)
        if config:
            path = os.path.join(self.folder, f"{app}.config.lua")
            with open(path, "w") as file:
                file.write(f"return {{ apps = {{ {app} = {{ config = {config} }} }} }}\n")
            options += ["--config", path]
        return self.start("run", *options, script, kind=Run)

    def end(self):
        for child in self._started:
            child.end()


class Run(Child):
    """`gatehouse run` with a log of JSON lines, in which the app says what it sees."""

    def said(self, message, **wanted):
        """What the app logged under this message, in order: those whose fields are as wanted."""
        found = []
        for line in list(self.err):
            record = json.loads(line)
            fields = record.get("fields", record)
            if record["message"] == message and all(fields.get(key) == value for key, value in wanted.items()):
                found.append(fields)
        return found

    def wait_for_said(self, timeout_s, message, **wanted):
        """The first of them; waits for it."""
        return self.wait_for(lambda: self.said(message, **wanted), timeout_s, f'"{message}" with {wanted}')[0]

    def stop(self):
        """SIGTERM, and the promise that goes with it: a clean end, soon."""
        self.signal(signal.SIGTERM)
        status = self.wait(END_S)
        if status != 0:
            raise Failure(f"{self.name} ended with status {status} after SIGTERM, not with 0")
