"""What the tests of the command line share: running the binary in a folder of its own, and a gateway of a hundred lines.

    python3 test_x.py /path/to/gatehouse
"""
import base64
import hashlib
import json
import os
import pathlib
import queue
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

GATEHOUSE = os.path.abspath(sys.argv.pop(1)) if len(sys.argv) > 1 else "gatehouse"
HOLDS_SIGNALS = b"__tsan_init" in pathlib.Path(GATEHOUSE).read_bytes() if os.path.exists(GATEHOUSE) else False  # ThreadSanitizer
LIMIT_S = 60  # ends a test that hangs; nothing waits for it


def needs_signals(test):
    """For what a signal does to a thread at work: ThreadSanitizer holds it back until a call that it knows."""
    return unittest.skipIf(HOLDS_SIGNALS, "ThreadSanitizer holds signals back")(test)


class Case(unittest.TestCase):
    """A test with a folder of its own as working directory, home and state folder."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        keep = {key: value for key, value in os.environ.items()
                if not key.startswith(("OPENCLAW_", "GATEHOUSE_", "XDG_")) and not key.lower().endswith("_proxy")}
        self.environment = {**keep, "HOME": folder.name, "GATEHOUSE_STATE_DIR": str(self.folder / "state"), "TZ": "UTC"}

    def write(self, name, text, mode=0o644):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def start(self, *arguments, environment=None, **options):
        """Starts gatehouse; the process is ended with the test, whatever happens."""
        process = subprocess.Popen([GATEHOUSE, *map(str, arguments)], cwd=self.folder, text=True,
                                   env={**self.environment, **(environment or {})},
                                   **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options})
        self.addCleanup(self._end, process)
        return process

    @staticmethod
    def _end(process):
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                stream.close()

    def gatehouse(self, *arguments, input=None, environment=None):
        """Runs gatehouse to its end; returns status, stdout, stderr."""
        process = self.start(*arguments, environment=environment, stdin=subprocess.PIPE)
        out, err = process.communicate(input or "", timeout=LIMIT_S)
        return process.returncode, out, err

    def assert_fails(self, status, pattern, *arguments, **options):
        """It ends with that status, says one line that fits, and nothing on stdout."""
        code, out, err = self.gatehouse(*arguments, **options)
        self.assertEqual((code, out), (status, ""), err)
        self.assertRegex(err, pattern)
        self.assertEqual(err.count("\n"), 1, f"not one line: {err!r}")
        return err

    def stop(self, process, number=signal.SIGTERM):
        process.send_signal(number)
        out, err = process.communicate(timeout=LIMIT_S)
        return process.returncode, out, err

    def lines_until(self, stream, text):
        """Reads lines up to the one that contains `text`."""
        lines = []
        for line in stream:
            lines.append(line)
            if text in line:
                return lines
        self.fail(f"no line with {text!r} in {lines}")


class Gateway:
    """Answers the upgrade, the challenge and connect; then what `answer(peer, request)` does. Not a simulator: one scripted road."""

    HELLO = {"type": "hello-ok", "protocol": 4, "server": {"version": "2026.9.6", "connId": "c1"},
             "features": {"methods": ["echo"], "events": ["agent", "tick"]},
             "snapshot": {"health": {"agents": [{"agentId": "main"}, {"agentId": "b"}, {"agentId": "c"}]}},
             "auth": {"role": "operator", "scopes": ["operator.read"]},
             "policy": {"maxPayload": 1 << 20, "maxBufferedBytes": 1 << 21, "tickIntervalMs": 30000}}

    def __init__(self, case, answer=None, connect=None, hello=None):
        self.answer, self.connect, self.hello = answer, connect, hello or self.HELLO
        self.requests = queue.Queue()  # every request, connect too
        self.peers = queue.Queue()     # those that are ready
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()
        case.addCleanup(self.listener.close)

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(Peer(connection),), daemon=True).start()

    def _serve(self, peer):
        try:
            peer.upgrade()
            peer.event("connect.challenge", {"nonce": "n-1", "ts": 1795355070844})
            for request in peer.requests():
                self.requests.put(request)
                if request["method"] != "connect":
                    self.answer(peer, request)
                elif self.connect:
                    self.connect(peer, request)
                else:
                    peer.reply(request, self.hello)
                    self.peers.put(peer)
        except (OSError, EOFError):
            pass
        finally:
            peer.connection.close()


class Peer:
    def __init__(self, connection):
        self.connection, self.stream, self.seq = connection, connection.makefile("rb"), 0
        self.lock = threading.Lock()  # the test and the serving thread both write

    def upgrade(self):
        key = None
        while (line := self.stream.readline().strip()):
            if line.lower().startswith(b"sec-websocket-key:"):
                key = line.split(b":", 1)[1].strip()
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        self.connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")

    def requests(self):
        while True:
            first, second = self._read(2)
            size = second & 127
            if size > 125:
                size = struct.unpack(">H" if size == 126 else ">Q", self._read(2 if size == 126 else 8))[0]
            mask, data = self._read(4), self._read(size)
            data = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
            if first & 15 == 8:
                self.frame(8, data)
                return
            if first & 15 == 1:
                yield json.loads(data)

    def _read(self, size):
        data = self.stream.read(size)
        if len(data) < size:
            raise EOFError
        return data

    def frame(self, opcode, data):
        size = len(data)
        length = bytes([size]) if size < 126 else struct.pack(">BH", 126, size) if size < 65536 else struct.pack(">BQ", 127, size)
        with self.lock:
            self.connection.sendall(bytes([0x80 | opcode]) + length + data)

    def text(self, text):
        self.frame(1, text.encode())

    def event(self, name, payload):
        self.seq += 1
        self.text(json.dumps({"type": "event", "event": name, "payload": payload, "seq": self.seq}, separators=(",", ":")))

    def reply(self, request, payload):
        self.text(json.dumps({"type": "res", "id": request["id"], "ok": True, "payload": payload}))

    def refuse(self, request, error, code=1008):
        self.text(json.dumps({"type": "res", "id": request["id"], "ok": False, "error": error}))
        if code:
            self.close(code, error["message"])

    def close(self, code, reason):
        self.frame(8, struct.pack(">H", code) + reason.encode()[:120])


def main():
    unittest.main(verbosity=2)
