"""A program at a terminal of its own, for what reads keys and fills the screen."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

from children import END_S, Failure

ROWS, COLUMNS = 40, 150
LOCAL_FLAGS = 3  # of what tcgetattr returns


class Screen:
    """Started as a Child is. `text` is what it showed since the last expect(); all of it is in the log."""

    def __init__(self, name, arguments, log_path, environment, folder=None):
        self.name = name
        self.text = ""
        self._log = open(log_path, "a", encoding="utf-8")
        self._master, self._slave = pty.openpty()
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self._before = termios.tcgetattr(self._slave)
        self._process = subprocess.Popen(
            arguments,
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env={**environment, "TERM": "xterm"},
            cwd=folder,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self.pid = self._process.pid

    def type(self, text):
        os.write(self._master, text.encode())

    def expect(self, pattern, timeout_s):
        """What was shown up to the end of the pattern; the rest is kept for the next time."""
        deadline = time.monotonic() + timeout_s
        while not (found := re.search(pattern, self.text, re.DOTALL)):
            if not self._read() and (time.monotonic() > deadline or self._process.poll() is not None):
                raise Failure(f"expected of {self.name} within {timeout_s} s: {pattern!r}; it shows {self.text!r}")
        seen, self.text = self.text[: found.end()], self.text[found.end() :]
        return seen

    def _read(self):
        if not select.select([self._master], [], [], 0.1)[0]:
            return False
        part = os.read(self._master, 65536).decode(errors="replace")
        self._log.write(part)
        self._log.flush()
        self.text += part
        return True

    def wait(self, timeout_s):
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise Failure(f"expected {self.name} to end within {timeout_s} s, but it runs on") from None

    def is_edited(self):
        """Whether a line editor takes the keys, ctrl-C too."""
        return not termios.tcgetattr(self._slave)[LOCAL_FLAGS] & termios.ISIG

    def is_given_back(self):
        """Whether the terminal is as it was before."""
        return termios.tcgetattr(self._slave) == self._before

    def end(self):
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for fd in (self._master, self._slave):
            os.close(fd)
        self._log.close()
