"""gatehouse sim against recordings of a real gateway: what that refused, the simulator refuses in the same words and with the same close.
And what else a stranger may do to it: options, the port file, scenarios, the demo."""
import base64
import json
import os
import pathlib
import signal
import socket
import struct
import time
import unittest

from harness import Case, LIMIT_S

FRAMES = pathlib.Path(__file__).resolve().parents[1] / "fixtures" / "frames"
RECORDED_TOKEN = "tok-lab-v4"  # made for the recording


class Client:
    """A WebSocket client of a page, so that neither codec of the project judges its own work."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), LIMIT_S)
        self.stream = self.socket.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        self.status = int(self.stream.readline().split()[1])
        while self.stream.readline() not in (b"\r\n", b""):
            pass

    def send(self, message):
        data = message.encode() if isinstance(message, str) else json.dumps(message).encode()
        if len(data) < 126:
            size = struct.pack(">B", 0x80 | len(data))
        elif len(data) < 65536:
            size = struct.pack(">BH", 0x80 | 126, len(data))
        else:
            size = struct.pack(">BQ", 0x80 | 127, len(data))
        self.socket.sendall(b"\x81" + size + b"\0\0\0\0" + data)

    def receive(self):
        """The next message, or ("close", code, reason)."""
        first, size = self.stream.read(2)
        if size == 126:
            size, = struct.unpack(">H", self.stream.read(2))
        elif size == 127:
            size, = struct.unpack(">Q", self.stream.read(8))
        data = self.stream.read(size)
        if first == 0x88:
            return ("close", struct.unpack(">H", data[:2])[0] if data else 1005, data[2:].decode())
        return json.loads(data)

    def response(self, request_id):
        """The answer to that request, or the close; events are passed over."""
        while True:
            frame = self.receive()
            if isinstance(frame, tuple) or (frame["type"] == "res" and frame["id"] == request_id):
                return frame

    def close(self):
        self.stream.close()
        self.socket.close()


def recording(name):
    """Connection -> its lines."""
    connections = {}
    for line in (FRAMES / f"{name}.jsonl").read_text().splitlines():
        entry = json.loads(line)
        connections.setdefault(entry["conn"], []).append(entry)
    return connections


class Simulator(Case):
    def simulator(self, *arguments, scenario=None):
        """Starts it; returns process and port."""
        if scenario is not None:
            arguments = (*arguments, self.write("scenario.lua", scenario))
        process = self.start("sim", "--listen", "127.0.0.1:0", "--token", RECORDED_TOKEN, "--port-file", "port", *arguments)
        self.lines_until(process.stderr, "simulated gateway at")
        deadline = time.monotonic() + LIMIT_S
        while not (self.folder / "port").exists():
            self.assertLess(time.monotonic(), deadline)
            self.assertIsNone(process.poll())
            time.sleep(0.005)
        return process, int((self.folder / "port").read_text())

    def client(self, port):
        client = Client(port)
        self.addCleanup(client.close)
        return client

    def connected(self, port, **more):
        client = self.client(port)
        client.receive()
        params = {"minProtocol": 3, "maxProtocol": 4, "client": {"id": "gateway-client", "version": "1", "platform": "linux", "mode": "backend"},
                  "role": "operator", "scopes": ["operator.admin"], "caps": [], "auth": {"token": RECORDED_TOKEN}, **more}
        client.send({"type": "req", "id": "hello", "method": "connect", "params": params})
        return client, client.response("hello")


class Recorded(Simulator):
    # Their signatures are of another challenge and another time, so they are refused for that before anything else is looked at.
    of_another_time = ("wrong-token-cli-dev", "wrong-devtoken", "dev-bad-nonce", "dev-space-nonce", "dev-bad-sig", "dev-sig-", "dev-v1")

    def test_connect_is_refused_in_the_recorded_words(self):
        _, port = self.simulator()
        compared = 0
        for name, lines in recording("v4-errors").items():
            sent = [entry["frame"] for entry in lines if entry["dir"] == "send"]
            expected = [entry["frame"] for entry in lines if entry["dir"] == "recv" and entry["frame"]["type"] == "res"]
            closed = [(entry["code"], entry["reason"]) for entry in lines if entry["dir"] == "close"]
            if name.startswith(self.of_another_time) or len(sent) != 1 or not closed or (expected and expected[0]["ok"]):
                continue
            with self.subTest(name):
                client = self.client(port)
                self.assertEqual(client.receive()["event"], "connect.challenge")
                client.send(sent[0])
                if expected:
                    self.assertEqual(client.receive(), expected[0])
                self.assertEqual(client.receive(), ("close", *closed[0]))
                compared += 1
        self.assertGreaterEqual(compared, 20)

    def test_requests_are_refused_in_the_recorded_words(self):
        _, port = self.simulator()
        lines, = recording("v4-requests").values()
        answers = [entry["frame"] for entry in lines if entry["dir"] == "recv" and entry["frame"]["type"] == "res"][1:]
        requests = [entry["frame"] for entry in lines if entry["dir"] == "send"][1:]
        client, hello = self.connected(port)
        self.assertTrue(hello["ok"], hello)
        compared = 0
        for request in requests:
            client.send(request)
            if request == "not json":
                continue  # not answered: the next answer is to the next request
            expected = answers.pop(0)
            if isinstance(request, dict) and request.get("method") == "cron.run":
                client.response(expected["id"])  # a method that the simulator does not have
                continue
            with self.subTest(request=request):
                answer = client.response(expected["id"])
                self.assertEqual(answer["ok"], expected["ok"])
                if not expected["ok"]:
                    self.assertEqual(answer["error"], expected["error"])
                    compared += 1
        self.assertGreaterEqual(compared, 15)

    def test_replay_gives_the_recorded_events_and_answers(self):
        path = FRAMES / "v4-chat.jsonl"
        _, port = self.simulator(scenario=f"sim.replay('{path}', {{ speed = 0 }})")
        lines, = recording("v4-chat").values()
        events = [entry["frame"] for entry in lines if entry["dir"] == "recv" and entry["frame"]["type"] == "event"][1:]
        client, hello = self.connected(port)
        self.assertEqual(hello["payload"]["server"]["version"], "2026.9.6")
        for event in events:
            self.assertEqual(client.receive(), event)
        asked = next(entry["frame"] for entry in lines if entry["dir"] == "send" and entry["frame"]["method"] != "connect")
        answered = next(entry["frame"] for entry in lines if entry["dir"] == "recv" and entry["frame"].get("id") == asked["id"])
        client.send(asked)
        self.assertEqual(client.response(asked["id"]), answered)


class Dialects(Simulator):
    def test_scopes_are_kept_as_the_version_does_it(self):
        cli = {"id": "cli", "version": "1", "platform": "linux", "mode": "cli"}
        for protocol, enforced in (("4", True), ("3", False)):
            with self.subTest(protocol=protocol):
                (self.folder / "port").unlink(missing_ok=True)
                _, port = self.simulator("--protocol", protocol)
                client, hello = self.connected(port, client=cli)
                self.assertEqual(hello["payload"]["protocol"], int(protocol))
                client.send({"type": "req", "id": "1", "method": "agents.list"})
                answer = client.response("1")
                self.assertEqual(answer["ok"], enforced)
                if not enforced:
                    self.assertEqual(answer["error"], {"code": "INVALID_REQUEST", "message": "missing scope: operator.read"})

    def test_legacy_dialect_has_result_params_and_numbers(self):
        _, port = self.simulator("--legacy", "--tick-ms", "20")
        client = self.client(port)
        self.assertIn("nonce", client.receive()["params"])
        client, hello = self.connected(port)
        self.assertEqual(sorted(hello["result"]), ["connId", "features"])
        self.assertNotIn("ok", hello)
        client.send({"type": "req", "id": "1", "method": "no.such"})
        self.assertEqual(client.response("1")["error"], {"code": 400, "message": "unknown method: no.such"})
        while True:
            event = client.receive()
            if event["event"] == "tick":
                self.assertIn("ts", event["params"])
                break

    def test_large_frames_before_connect_end_the_connection(self):
        _, port = self.simulator()
        client = self.client(port)
        client.receive()
        client.send("x" * 65537)
        self.assertEqual(client.receive(), ("close", 1009, ""))

    def test_refused_upgrade(self):
        _, port = self.simulator(scenario='sim.next { http = 503, body = "too many\\n", times = 2 }')
        self.assertEqual([self.client(port).status for _ in range(3)], [503, 503, 101])


class CommandLine(Simulator):
    def test_sigterm_says_good_bye(self):
        process, port = self.simulator()
        client, _ = self.connected(port)
        process.send_signal(signal.SIGTERM)
        frames = []
        while not frames or isinstance(frames[-1], dict):
            frames.append(client.receive())
        self.assertEqual(frames[-2]["event"], "shutdown")
        self.assertEqual(frames[-1], ("close", 1012, "service restart"))
        client.close()
        process.communicate(timeout=LIMIT_S)
        self.assertEqual(process.returncode, 0)

    def test_token_that_is_made_is_shown(self):
        process = self.start("sim", "--listen", "127.0.0.1:0")
        line = self.lines_until(process.stderr, "OPENCLAW_GATEWAY_TOKEN=")[-1]
        variables = dict(word.split("=", 1) for word in line.split()[1:])
        status, out, err = self.gatehouse("call", "agents.list", environment=variables)
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(json.loads(out)["defaultId"], "main")

    def test_mistakes_get_one_line(self):
        self.assert_fails(2, "scenario nosuch.lua cannot be read", "sim", "nosuch.lua")
        self.assert_fails(2, "--protocol 5: 3 or 4", "sim", "--protocol", "5")
        self.assert_fails(2, "--legacy is a dialect of protocol 3", "sim", "--legacy", "--protocol", "4")
        self.assert_fails(2, "ADDRESS or ADDRESS:PORT", "sim", "--listen", "127.0.0.1:70000")
        self.assert_fails(2, "one scenario", "sim", "a.lua", "b.lua")
        self.assert_fails(1, "cannot listen on 192.0.2.1", "sim", "--listen", "192.0.2.1:0")
        self.assert_fails(2, "no arguments", "demo", "x")
        self.assert_fails(2, "--seconds x", "demo", "--seconds", "x")

    def test_scenario_that_does_not_load_is_named(self):
        for text, pattern in (("sim.nosuch()", "scenario.lua:1: .*nosuch"), ("sim.on(", "scenario.lua:1: unexpected"),
                              ("sim.next { tmies = 2 }", "scenario.lua:1: .*there is no option 'tmies'"),
                              ("sim.next { refuse = 'x' }", "scenario.lua:1: .*option 'refuse': known are"),
                              ("sim.answer('health', { late = true })", "scenario.lua:1: .*'late': number expected, got boolean"),
                              ("sim.replay('nosuch')", "scenario.lua:1: sim.replay cannot play nosuch")):
            with self.subTest(text):
                status, _, err = self.gatehouse("sim", "--listen", "127.0.0.1:0", self.write("scenario.lua", text))
                self.assertEqual(status, 1)
                self.assertRegex(err, pattern)

    def test_demo_reconnects_and_leaves_nothing(self):
        temporary = self.folder / "tmp"
        temporary.mkdir()
        status, out, err = self.gatehouse("demo", "--seconds", "7", environment={"TMPDIR": str(temporary)})
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(list(temporary.iterdir()), [])
        self.assertEqual(out.count("│ ready: protocol 4"), 2, out)
        self.assertRegex(out, r"app +│ heard: ")
        self.assertIn("connection lost (1012: service restart)", out)
        self.assertIn("Try next:", out)


if __name__ == "__main__":
    unittest.main()
