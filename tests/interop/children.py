"""Processes that a test starts: their output line by line, their end for certain, and waiting for what they say.

Every child leads a session of its own and carries the mark of this run in its environment, so that whatever it started
in turn is found and ended as well, also after the child itself was killed.
"""

import os
import signal
import subprocess
import threading
import time

MARK = "GATEHOUSE_INTEROP_RUN"
END_S = 10  # what a child may take to end after SIGTERM, when nobody is interested in how it ends


class Failure(Exception):
    """A promise was not kept; the text says what was expected and what came."""


def wait_until(condition, timeout_s, expected):
    """Polls until condition() is true and returns what it returned; a Failure names what was waited for."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure(f"expected within {timeout_s} s: {expected}")
        time.sleep(0.05)


class Child:
    """A running program. `out` and `err` are the lines of its output so far, without their ends; both are in the log."""

    def __init__(self, name, arguments, log_path, environment, folder=None):
        self.name = name
        self.log_path = log_path
        self.out, self.err = [], []
        self._news = threading.Condition()
        self._log = open(log_path, "a", encoding="utf-8")
        self._process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=folder,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._readers = [
            threading.Thread(target=self._read, args=pair, daemon=True)
            for pair in ((self._process.stdout, self.out), (self._process.stderr, self.err))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream, lines):
        for line in stream:
            with self._news:
                lines.append(line.rstrip("\n"))
                self._log.write(line)
                self._log.flush()
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def running(self):
        return self._process.poll() is None

    def wait_for(self, find, timeout_s, expected):
        """Waits until find() returns something true, looking again whenever the child says a line, and returns that."""
        deadline = time.monotonic() + timeout_s
        with self._news:
            while True:
                # Asked before looking: what a child says before it ends counts.
                over = not any(reader.is_alive() for reader in self._readers)
                value = find()
                if value:
                    return value
                if over:
                    raise Failure(f"{self.name} ended with status {self._process.wait()}; expected: {expected}")
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    raise Failure(f"expected of {self.name} within {timeout_s} s: {expected}")
                # The end of a child is not announced while a grandchild holds its output open: look by then and when.
                self._news.wait(min(left_s, 0.5))

    def signal(self, number):
        self._process.send_signal(number)

    def wait(self, timeout_s):
        """The exit status (negative: the signal that ended it), when all output has been read."""
        try:
            status = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise Failure(f"expected {self.name} to end within {timeout_s} s, but it runs on") from None
        for reader in self._readers:
            reader.join(END_S)
        return status

    def end(self):
        """Ends it and its process group, gently first. Whether it had ended before does not matter."""
        if self.running():
            self.signal(signal.SIGTERM)
            try:
                self._process.wait(END_S)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
        for reader in self._readers:
            reader.join(END_S)
        self._log.close()


def end_marked(mark):
    """Kills every process whose environment carries the mark: what children left behind in sessions of their own."""
    wanted = f"{MARK}={mark}".encode()
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:
                if wanted in file.read().split(b"\0"):
                    os.kill(int(entry), signal.SIGKILL)
        except OSError:
            pass  # it ended meanwhile, or belongs to somebody else
