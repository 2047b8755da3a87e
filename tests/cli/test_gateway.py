"""call, tail and run against a scripted gateway: what reaches stdout and stderr, and how each ends."""
import contextlib
import json
import os
import pathlib
import pty
import re
import signal
import subprocess
import time

from harness import Case, Gateway, main, needs_signals

TOKEN = "s3cret-token"
PAIRING = {"code": "NOT_PAIRED", "message": "pairing required", "details": {"code": "PAIRING_REQUIRED", "reason": "not-paired", "requestId": "req-7"}}
MISMATCH = {"code": "INVALID_REQUEST", "message": "unauthorized: gateway token mismatch", "details": {"code": "AUTH_TOKEN_MISMATCH"}}


def echo(peer, request):
    peer.text('{"type":"res","id":"%s","ok":true,"payload":{ "n": 9007199254740993, "list":[],"x":1.50}}' % request["id"])


class Call(Case):
    def test_payload_as_it_came(self):
        gateway = Gateway(self, echo)
        status, out, err = self.gatehouse("call", "some.method", '{"key": "main", "empty": []}', "--url", gateway.url,
                                          environment={"OPENCLAW_GATEWAY_TOKEN": TOKEN})
        self.assertEqual((status, out, err), (0, '{ "n": 9007199254740993, "list":[],"x":1.50}\n', ""))
        connect, request = gateway.requests.get(timeout=10), gateway.requests.get(timeout=10)
        self.assertEqual(connect["params"]["auth"], {"token": TOKEN})
        self.assertEqual(connect["params"]["scopes"], ["operator.read", "operator.write"])
        self.assertEqual((request["method"], request["params"]), ("some.method", {"key": "main", "empty": []}))

    def test_params_from_stdin_and_none(self):
        gateway = Gateway(self, lambda peer, request: peer.reply(request, {"params": request.get("params")}))
        self.assertEqual(self.gatehouse("call", "m", "-", "--url", gateway.url, input='\n{"a":1}\n')[:2], (0, '{"params": {"a": 1}}\n'))
        self.assertEqual(json.loads(self.gatehouse("call", "m", "--url", gateway.url)[1])["params"], None)

    def test_payload_that_is_no_json(self):
        for payload in ("{bad}", '"\\ud800"', "[1,]"):
            gateway = Gateway(self, lambda peer, request, payload=payload: peer.text(
                '{"type":"res","id":"%s","ok":true,"payload":%s}' % (request["id"], payload)))
            self.assert_fails(1, "m: BAD_RESPONSE: the gateway's answer is not valid JSON", "call", "m", "--url", gateway.url)

    def test_a_terminal_obeys_no_payload(self):
        payload = '["\u009b31m\u202e", "\\u001b"]'
        gateway = Gateway(self, lambda peer, request: peer.text(
            '{"type":"res","id":"%s","ok":true,"payload":%s}' % (request["id"], payload)))
        master, slave = pty.openpty()
        process = self.start("call", "m", "--url", gateway.url, stdout=slave)
        os.close(slave)
        with os.fdopen(master, encoding="utf-8") as terminal:
            shown = terminal.readline()
        self.assertEqual(process.wait(60), 0)
        self.assertEqual(shown, '["\\u009b31m\\u202e", "\\u001b"]\n')
        self.assertEqual(self.gatehouse("call", "m", "--url", gateway.url)[1], payload + "\n")

    def test_final(self):
        def twice(peer, request):
            peer.reply(request, {"status": "accepted"})
            peer.reply(request, {"status": "ok"})

        gateway = Gateway(self, twice)
        self.assertEqual(self.gatehouse("call", "agent", "--url", gateway.url)[1], '{"status": "accepted"}\n')
        self.assertEqual(self.gatehouse("call", "agent", "--final", "--url", gateway.url)[1], '{"status": "ok"}\n')

    def test_error(self):
        error = {"code": "NOT_FOUND", "message": "no such session \x1b[31m", "details": {"code": "GONE"}, "retryable": True, "retryAfterMs": 1500}
        gateway = Gateway(self, lambda peer, request: peer.refuse(request, error, code=None))
        said = self.assert_fails(1, r"NOT_FOUND: no such session .* \(GONE\); try again in 1\.5 s", "call", "m", "--url", gateway.url)
        self.assertNotIn("\x1b", said)
        status, out, err = self.gatehouse("call", "m", "--json", "--url", gateway.url)
        self.assertEqual((status, out, json.loads(err)), (1, "", error))

    def test_missing_scope_of_both_protocols(self):
        for error in ({"code": "INVALID_REQUEST", "message": "missing scope: operator.write"},
                      {"code": "FORBIDDEN", "message": "missing scope: operator.write",
                       "details": {"code": "MISSING_SCOPE", "missingScope": "operator.write", "requiredScopes": ["operator.write"]}}):
            gateway = Gateway(self, lambda peer, request, error=error: peer.refuse(request, error, code=None))
            self.assert_fails(1, r"add operator\.write to the setting scopes \(--scopes\)", "call", "m", "--url", gateway.url)

    def test_timeout(self):
        gateway = Gateway(self, lambda peer, request: None)
        self.assert_fails(1, "m: TIMEOUT: ", "call", "m", "--timeout", "0.3", "--url", gateway.url)

    def test_refused(self):
        gateway = Gateway(self, connect=lambda peer, request: peer.refuse(request, MISMATCH))
        said = self.assert_fails(1, r"token mismatch \(AUTH_TOKEN_MISMATCH\); .*OPENCLAW_GATEWAY_TOKEN", "call", "m", "--url", gateway.url,
                                 environment={"OPENCLAW_GATEWAY_TOKEN": TOKEN})
        self.assertNotIn(TOKEN, said)
        gateway = Gateway(self, connect=lambda peer, request: peer.refuse(request, PAIRING))
        self.assert_fails(1, "run: openclaw devices approve req-7", "call", "m", "--url", gateway.url)

    def test_no_token(self):
        missing = {"code": "INVALID_REQUEST", "message": "unauthorized", "details": {"code": "AUTH_TOKEN_MISSING"}}
        gateway = Gateway(self, connect=lambda peer, request: peer.refuse(request, missing))
        self.assert_fails(1, "set OPENCLAW_GATEWAY_TOKEN or token_file", "call", "m", "--url", gateway.url)

    def test_token_file_and_its_rank(self):
        token_file = self.write("token", TOKEN + "\r\n", 0o600)
        self.write("gatehouse.lua", "return { token_file = 'token' }")
        gateway = Gateway(self, echo)

        def sent(*options, **environment):
            self.assertEqual(self.gatehouse("call", "m", "--url", gateway.url, *options, environment=environment)[0], 0)
            token = gateway.requests.get(timeout=10)["params"]["auth"]["token"]
            gateway.requests.get(timeout=10)
            return token

        self.assertEqual(sent(), TOKEN)
        self.assertEqual(sent(OPENCLAW_GATEWAY_TOKEN="from-environment"), "from-environment")
        self.assertEqual(sent("--token-file", token_file, OPENCLAW_GATEWAY_TOKEN="from-environment"), TOKEN)

    def test_device_token_is_kept_and_listed_without_its_value(self):
        hello = {**Gateway.HELLO, "auth": {**Gateway.HELLO["auth"], "deviceToken": "device-token-1"}}
        gateway = Gateway(self, echo, hello=hello)
        self.assertEqual(self.gatehouse("call", "m", "--url", gateway.url)[0], 0)
        status, out, _ = self.gatehouse("device", "--json")
        device = json.loads(out)
        self.assertEqual((status, [token["url"] for token in device["tokens"]]), (0, [gateway.url + "/"]))
        for words in (["device"], ["device", "--json"]):
            self.assertNotIn("device-token-1", self.gatehouse(*words)[1])
        for file in ("device.json", "device-tokens.json"):
            self.assertEqual(os.stat(self.folder / "state" / file).st_mode & 0o777, 0o600)
        gateway.requests.get(timeout=10), gateway.requests.get(timeout=10)
        self.gatehouse("call", "m", "--url", gateway.url)
        self.assertIn("device-token-1", json.dumps(gateway.requests.get(timeout=10)["params"]["auth"]))

    def test_gateway_that_is_lost_before_it_answers(self):
        gateway = Gateway(self, lambda peer, request: peer.close(1012, "service restart"))
        self.assert_fails(1, r"1012: service restart|DISCONNECTED", "call", "m", "--url", gateway.url)


class Tail(Case):
    def test_lines(self):
        gateway = Gateway(self)
        process = self.start("tail", "--url", gateway.url)
        peer = gateway.peers.get(timeout=10)
        peer.text('{"type":"event","event":"agent","payload":{ "a":[],\n"n":1.0},"seq":1,"stateVersion":{"presence":1}}')
        self.assertEqual(process.stdout.readline(), '{"event":"agent","payload":{ "a":[], "n":1.0},"seq":1,"stateVersion":{"presence":1}}\n')
        peer.text('{"type":"event","event":"old","params":{"b":2}}')
        self.assertEqual(process.stdout.readline(), '{"event":"old","payload":{"b":2}}\n')
        peer.text('{"type":"event","event":"bad","payload":{"b":tru},"seq":2}')
        peer.event("none", None)
        self.assertEqual(json.loads(process.stdout.readline())["event"], "none")
        status, out, err = self.stop(process, signal.SIGINT)
        self.assertEqual((status, out), (0, ""))
        self.assertIn("ready: protocol 4, 3 agents, gateway 2026.9.6", err)
        self.assertIn("bad that is no valid JSON is left out", err)

    def test_names_prefixes_and_count(self):
        gateway = Gateway(self)
        process = self.start("tail", "chat", "session.*", "--count", "2", "--url", gateway.url)
        peer = gateway.peers.get(timeout=10)
        for name in ("agent", "chats", "session.message", "sessions", "chat", "chat"):
            peer.event(name, {})
        out, _ = process.communicate(timeout=10)
        self.assertEqual([json.loads(line)["event"] for line in out.splitlines()], ["session.message", "chat"])
        self.assertEqual(process.returncode, 0)

    def test_survives_a_reconnect(self):
        gateway = Gateway(self)
        process = self.start("tail", "--url", gateway.url)
        peer = gateway.peers.get(timeout=10)
        peer.event("one", {})
        self.assertIn('"one"', process.stdout.readline())
        peer.close(1012, "service restart")
        gateway.peers.get(timeout=30).event("two", {})
        self.assertIn('"two"', process.stdout.readline())
        status, _, err = self.stop(process)
        self.assertEqual(status, 0)
        self.assertRegex(err, r"connection lost \(1012: service restart\); next try in \d\.\d s")

    def test_first_attempt_decides_unless_it_waits(self):
        process = self.start("tail", "--url", "ws://127.0.0.1:1/")
        self.assertRegex(process.communicate(timeout=10)[1], "connection refused")
        self.assertEqual(process.returncode, 1)
        process = self.start("tail", "--wait", "--url", "ws://127.0.0.1:1/")
        self.lines_until(process.stderr, "next try in")
        self.assertEqual(self.stop(process)[0], 0)

    def test_reader_that_goes_away_ends_it_quietly(self):
        gateway = Gateway(self)
        process = self.start("tail", "--log-level", "warn", "--url", gateway.url)
        peer = gateway.peers.get(timeout=10)
        process.stdout.close()
        process.stdout = None
        peer.event("agent", {})
        self.assertEqual((process.wait(timeout=10), process.stderr.read()), (0, ""))

    def test_reader_that_stalls_stops_the_gateway_and_loses_nothing(self):
        gateway = Gateway(self)
        process = self.start("tail", "--url", gateway.url)
        peer = gateway.peers.get(timeout=10)
        peer.connection.settimeout(1)
        text, sent = "x" * 60000, 0
        try:  # until nothing is taken any more: our buffer of 4 MiB, the sockets, the pipe
            while sent < 2000:
                peer.text('{"type":"event","event":"agent","payload":{"i":%d,"x":"%s"},"seq":%d}' % (sent, text, sent + 1))
                sent += 1
        except TimeoutError:
            pass
        self.assertLess(sent, 2000, "the gateway was never stopped")
        for i in range(sent):
            self.assertEqual(json.loads(process.stdout.readline())["payload"]["i"], i)
        self.assertIsNone(process.poll())
        process.kill()


class Run(Case):
    APP = """
    gw.on("@ready", function(p) log.info("ready", { connection = p.connection, agents = #p.snapshot.health.agents, methods = #p.methods }) end)
    gw.on("@closed", function(p) log.info("closed", { code = p.code, reason = p.reason }) end)
    gw.on("@paused", function(p) log.info("paused", { code = p.code, hint = p.hint }) end)
    gw.on("@gap", function(p) log.info("gap", p) end)
    gw.on("@stop", function() log.info("stop") end)
    gw.on("hello", function(p, e) log.info("hello", { n = p.n, seq = e.seq, connection = e.connection, state = gw.info().state }) end)
    gw.on("ask", function(p) local r, err = gw.send("echo", p) log.info("asked", { r = r, code = err and err.code }) end)
    """

    def run_app(self, gateway, *options, script=None, **environment):
        self.write("app.lua", script or self.APP)
        return self.start("run", "app.lua", "--log-format", "json", "--url", gateway.url, *options, environment=environment)

    def until(self, process, message, app="app"):
        """Reads the log up to that message; returns the line."""
        for line in process.stderr:
            entry = json.loads(line)
            if entry["message"].startswith(message) and (app is None or entry.get("app") == app):
                return entry
        self.fail(f"the log ended without {message!r}")

    def test_stages(self):
        gateway = Gateway(self)
        self.write("app.lua", self.APP)
        process = self.start("run", "app.lua", "--url", gateway.url)
        lines = self.lines_until(process.stderr, "app: ready")
        self.assertRegex("".join(lines), r"INFO  connecting to ws://127\.0\.0\.1:\d+/\n.*INFO  ready: protocol 4, 3 agents, gateway 2026\.9\.6\n")
        self.assertRegex(lines[-1], "connection=1")
        status, out, err = self.stop(process)
        self.assertEqual((status, out), (0, ""))
        self.assertRegex(err, r"(?s)SIGTERM: stopping.*app: stop\n")

    def test_event_right_behind_hello_reaches_the_handler(self):
        def connect(peer, request):
            hello = json.dumps({"type": "res", "id": request["id"], "ok": True, "payload": Gateway.HELLO})
            event = '{"type":"event","event":"hello","payload":{"n":1},"seq":1}'
            frames = b"".join(b"\x81" + (b"\x7e" + len(t).to_bytes(2, "big") if len(t) > 125 else bytes([len(t)])) + t.encode()
                              for t in (hello, event))
            peer.connection.sendall(frames)  # one write: both are read in the same turn

        process = self.run_app(Gateway(self, connect=connect))
        self.assertEqual(self.until(process, "ready")["fields"], {"connection": 1, "agents": 3, "methods": 1})
        self.assertEqual(self.until(process, "hello")["fields"], {"n": 1, "seq": 1, "connection": 1, "state": "ready"})
        self.assertEqual(self.stop(process)[0], 0)

    def test_reconnect_registers_nothing_twice(self):
        gateway = Gateway(self, echo)
        process = self.run_app(gateway)
        for connection in (1, 2):
            peer = gateway.peers.get(timeout=30)
            self.assertEqual(self.until(process, "ready")["fields"]["connection"], connection)
            peer.event("hello", {"n": connection})
            peer.event("ask", {})
            self.assertEqual(self.until(process, "hello")["fields"]["connection"], connection)
            self.assertEqual(self.until(process, "asked")["fields"]["r"]["n"], 9007199254740993)
            if connection == 1:
                peer.close(1012, "service restart")
                self.assertEqual(self.until(process, "closed")["fields"], {"code": 1012, "reason": "service restart"})
        status, _, err = self.stop(process)
        self.assertEqual((status, err.count('"message":"hello"')), (0, 0))

    def test_request_that_the_end_of_the_connection_catches(self):
        gateway = Gateway(self, lambda peer, request: peer.connection.shutdown(2))
        process = self.run_app(gateway)
        gateway.peers.get(timeout=10).event("ask", {})
        self.assertEqual(self.until(process, "asked")["fields"], {"code": "DISCONNECTED"})
        self.assertEqual(self.stop(process)[0], 0)

    def test_gap_and_names_of_the_host(self):
        gateway = Gateway(self)
        process = self.run_app(gateway)
        peer = gateway.peers.get(timeout=10)
        peer.event("@stop", {})
        peer.event("\\u0040stop", {})
        peer.seq += 3
        peer.event("hello", {"n": 1})
        lines = []
        for line in process.stderr:
            lines.append(json.loads(line)["message"])
            if lines[-1] == "hello":
                break
        self.assertEqual(lines.count("stop"), 0)
        self.assertEqual(lines.count("gap"), 1)
        self.assertEqual(self.stop(process)[0], 0)

    def test_refused_at_first_ends_it(self):
        gateway = Gateway(self, connect=lambda peer, request: peer.refuse(request, MISMATCH))
        process = self.run_app(gateway, OPENCLAW_GATEWAY_TOKEN=TOKEN)
        _, err = process.communicate(timeout=10)
        errors = [line for line in err.splitlines() if '"level":"error"' in line]
        self.assertEqual((process.returncode, len(errors)), (1, 1), err)
        self.assertIn("AUTH_TOKEN_MISMATCH", errors[0])
        self.assertNotIn(TOKEN, err)

    def test_refused_later_waits_for_the_operator(self):
        token = self.write("token", "first\n", 0o600)

        def connect(peer, request):
            if request["params"]["auth"].get("token") in ("first", "third") and not closing:
                peer.reply(request, Gateway.HELLO)
                gateway.peers.put(peer)
            else:
                peer.refuse(request, MISMATCH)

        closing = []
        gateway = Gateway(self, connect=connect)
        process = self.run_app(gateway, "--token-file", token)
        peer = gateway.peers.get(timeout=10)
        self.until(process, "ready")
        closing.append(True)
        peer.close(1012, "restart")
        self.assertEqual(self.until(process, "paused")["fields"]["code"], "AUTH_TOKEN_MISMATCH")
        self.assertIsNone(process.poll())
        token.write_text("third\n")
        closing.clear()
        process.send_signal(signal.SIGHUP)
        self.assertEqual(self.until(process, "ready")["fields"]["connection"], 2)
        self.assertEqual(self.stop(process)[0], 0)

    def test_a_pipe_in_place_of_the_token_file_does_not_hang_the_host(self):
        token = self.write("token", "first\n", 0o600)
        process = self.run_app(Gateway(self), "--token-file", token)
        self.until(process, "ready")
        token.unlink()
        os.mkfifo(token, 0o600)
        process.send_signal(signal.SIGHUP)
        self.assertRegex(self.until(process, "SIGHUP: ", app=None)["message"],
                         "a pipe is read once, at the start; the old secrets stay")
        self.assertEqual(self.stop(process)[0], 0)

    def test_pairing_waits_and_says_how(self):
        gateway = Gateway(self, connect=lambda peer, request: peer.refuse(request, PAIRING))
        process = self.run_app(gateway)
        self.until(process, "waiting for pairing: run: openclaw devices approve req-7", app=None)
        self.assertEqual(self.until(process, "paused")["fields"], {"code": "PAIRING_REQUIRED", "hint": "run: openclaw devices approve req-7"})
        self.assertIsNone(process.poll())
        self.assertEqual(self.stop(process)[0], 0)

    def test_hostile_close_reason(self):
        gateway = Gateway(self)
        self.write("app.lua", "")
        process = self.start("run", "app.lua", "--url", gateway.url)
        gateway.peers.get(timeout=10).close(4001, "\x1b]0;owned\x07\nERROR forged\u009b31m")
        line = self.lines_until(process.stderr, "connection lost")[-1]
        self.assertNotRegex(line, "[\x00-\x09\x0b-\x1f\x7f-\x9f]")
        self.assertIn("next try", line)
        self.assertEqual(self.stop(process)[0], 0)

    def test_app_that_does_not_keep_up_loses_nothing(self):
        script = """
        local n, order = 0, true
        gw.on("flood", function(p)
          order, n = order and p.i == n, n + 1
          for _ = 1, 20000 do end
        end)
        gw.on("flood.end", function() log.info("counted", { n = n, order = order }) end)
        """
        gateway = Gateway(self)
        process = self.run_app(gateway, "--log-level", "debug", script=script)
        peer = gateway.peers.get(timeout=10)
        text = "x" * 2000  # 20 MB: ten times the inbox's mark
        for i in range(10000):
            peer.text('{"type":"event","event":"flood","payload":{"i":%d,"x":"%s"},"seq":%d}' % (i, text, i + 1))
        peer.text('{"type":"event","event":"flood.end","payload":{}}')
        self.until(process, "its inbox is full")
        self.until(process, "its inbox has room again")
        # Another handler, so it is not in line behind the flood: asked until all is counted.
        while self.until(process, "counted")["fields"] != {"n": 10000, "order": True}:
            peer.text('{"type":"event","event":"flood.end","payload":{}}')
        self.assertEqual(self.stop(process)[0], 0)

    def test_answers_come_through_while_the_inbox_is_full(self):
        script = """
        local n = 0
        gw.on("flood", function(p)
          local r, err = gw.send("echo", { i = p.i }, { timeout = 20 })
          if not r then return log.error("failed", { code = err.code }) end
          n = n + 1
          if n == 8000 then log.info("all answered") end
        end)
        """
        gateway = Gateway(self, echo)
        process = self.run_app(gateway, script=script)
        peer = gateway.peers.get(timeout=10)
        text = "x" * 1000
        for i in range(8000):  # twice the inbox's mark
            peer.text('{"type":"event","event":"flood","payload":{"i":%d,"x":"%s"},"seq":%d}' % (i, text, i + 1))
        self.until(process, "all answered")
        self.assertEqual(self.stop(process)[0], 0)

    @needs_signals
    def test_handler_that_does_not_return_is_named_and_left_behind(self):
        script = """
        gw.on("hello", function() while true do end end)
        """
        self.write("gatehouse.lua", "return { apps = { app = { cpu = false } } }")
        gateway = Gateway(self)
        process = self.run_app(gateway, script=script)
        gateway.peers.get(timeout=10).event("hello", {})
        self.assertRegex(self.until(process, "handler ")["message"], r"handler hello \(.*app\.lua:2\) has been running at .*app\.lua:2 for \d+ s")
        status, _, err = self.stop(process)
        self.assertEqual(status, 1)
        self.assertRegex(err, r"did not stop in time and is left behind; it runs hello \(.*app\.lua:2\)")

    def test_second_signal_ends_at_once(self):
        self.write("gatehouse.lua", "return { apps = { app = { cpu = false } } }")
        gateway = Gateway(self)
        process = self.run_app(gateway, script='gw.on("hello", function() while true do end end)')
        gateway.peers.get(timeout=10).event("hello", {})
        self.until(process, "handler ")
        process.send_signal(signal.SIGINT)
        self.until(process, "SIGINT: stopping", app=None)
        begun = time.monotonic()
        while process.poll() is None:  # within 0.2 s it is taken for the same signal, as timeout(1) sends it twice
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.05)
        self.assertEqual(process.returncode, 1)
        self.assertLess(time.monotonic() - begun, 3)

    def test_stalled_stderr_does_not_stall_the_connection(self):
        gateway = Gateway(self, lambda peer, request: peer.reply(request, {}))
        script = """
        local line = ("x"):rep(1000)
        gw.on("hello", function() for _ = 1, 5000 do log.info(line) end gw.send("done") end)
        """
        process = self.run_app(gateway, script=script)
        gateway.peers.get(timeout=10).event("hello", {})
        methods = [gateway.requests.get(timeout=20)["method"] for _ in range(2)]  # nobody has read stderr meanwhile
        self.assertEqual(methods, ["connect", "done"])
        self.assertRegex(self.until(process, "", app=None)["message"], "connecting")
        found = 0
        process.send_signal(signal.SIGTERM)
        for line in process.stderr:
            dropped = re.match(r"(\d+) lines of the log were dropped", json.loads(line)["message"])
            found += int(dropped.group(1)) if dropped else 0
        self.assertGreater(found, 3000)
        self.assertEqual(process.wait(timeout=10), 0)

    def sanitized(self, process):
        maps = pathlib.Path(f"/proc/{process.pid}/maps").read_text()
        return re.search("lib[at]san", maps) is not None

    def test_start_to_ready_takes_under_50_ms_and_8_mb(self):
        gateway = Gateway(self)
        times = []
        for _ in range(5):  # the quickest counts: other programs only ever make it slower
            begun = time.monotonic()
            process = self.run_app(gateway)
            self.until(process, "ready")
            times.append(time.monotonic() - begun)
            if self.sanitized(process):
                self.skipTest("a sanitizer takes its own time and memory")
            status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
            self.assertLess(int(re.search(r"^VmRSS:\s+(\d+)", status, re.M)[1]), 8 * 1024)
            self.assertEqual(self.stop(process)[0], 0)
        self.assertLess(min(times), 0.05)

    def test_idle_host_sleeps(self):
        gateway = Gateway(self)
        process = self.run_app(gateway)
        self.until(process, "ready")

        if "libtsan" in pathlib.Path(f"/proc/{process.pid}/maps").read_text():
            self.skipTest("ThreadSanitizer has a thread of its own that does not sleep")

        def switches():
            texts = [(task / "status").read_text() for task in pathlib.Path(f"/proc/{process.pid}/task").iterdir()]
            return sum(int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.M)[1]) for text in texts)

        for _ in range(10):  # what the start has left to do comes to an end; then nothing at all happens in a second
            before = switches()
            time.sleep(1)
            if switches() == before:
                break
        else:
            self.fail("it never slept for a second")
        self.assertEqual(self.stop(process)[0], 0)

    @needs_signals
    def test_each_handler_that_stands_in_c_is_told(self):
        gateway = Gateway(self)
        self.write("watch.lua", '''
            gw.on("one", function() os.execute("exec sleep 2.5") end)
            gw.on("two", function() os.execute("exec sleep 2.5") end)
        ''')
        process = self.start("run", "--log-format", "json", "watch.lua", environment={"OPENCLAW_GATEWAY_URL": gateway.url, "OPENCLAW_GATEWAY_TOKEN": "t"})
        peer = gateway.peers.get(timeout=60)
        for name in ("one", "two"):
            peer.event(name, {})
        self.until(process, "handler one (watch.lua:2) has been in execute, called at watch.lua:2 for", "watch")
        self.until(process, "handler two (watch.lua:3) has been in execute, called at watch.lua:3 for", "watch")  # and not ten seconds later
        self.assertEqual(self.stop(process)[0], 0)


if __name__ == "__main__":
    main()
