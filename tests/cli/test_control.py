"""A running host, looked at and asked through its control socket: by the subcommands, and by strangers that send anything."""
import json
import os
import pathlib
import signal
import socket
import stat
import subprocess
import time

from harness import Case, LIMIT_S, main

TOKEN = "control-token"
SCENARIO = """
sim.on("burst", function(params)
  local filler = ("x"):rep(params.size or 10)
  for i = 1, params.n do sim.emit("burst", { i = i, filler = filler }) end
  return {}
end)
sim.on("fragile", function(params)
  for i = 1, params.n do sim.emit("fragile", { i = i }) end
  return {}
end)
sim.on("evil", function() sim.emit("evil\\27[31m", { text = "\\27]0;owned\\7" }) return {} end)
"""
APP = """
gw.on("burst", function() end)
gw.on("evil*", function() end)
gw.on("fragile", function(payload)
  if not gw.state.mended then error("broken at " .. payload.i) end
  log.info("mended " .. payload.i)
end)
gw.on("@ready", function() log.info("ready") end)
"""


def connect(path):
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(LIMIT_S)
    peer.connect(str(path))
    return peer


def ask(path, *lines):
    """Sends the lines, closes that side, and returns the answers."""
    with connect(path) as peer:
        peer.sendall("".join(line + "\n" for line in lines).encode())
        peer.shutdown(socket.SHUT_WR)
        answers = []
        try:
            for line in peer.makefile():
                answers.append(json.loads(line))
        except ConnectionResetError:
            pass  # one that was turned away before its request was read
        return answers


class HostCase(Case):
    """A simulated gateway, and a host with the app `watch` that is connected to it."""

    def setUp(self):
        super().setUp()
        self.environment["OPENCLAW_GATEWAY_TOKEN"] = TOKEN
        self.scenario = self.write("scenario.lua", SCENARIO)
        port = self.folder / "port"
        self.start("sim", self.scenario, "--listen", "127.0.0.1:0", "--port-file", port, stderr=subprocess.DEVNULL)
        self.until(port.exists)
        self.environment["OPENCLAW_GATEWAY_URL"] = f"ws://127.0.0.1:{port.read_text().strip()}/"
        self.app = self.write("watch.lua", APP)
        self.socket = self.folder / "state" / "control.sock"
        self.host = self.run_host()

    def until(self, condition):
        limit = time.monotonic() + LIMIT_S
        while not condition():
            self.assertLess(time.monotonic(), limit, "it did not come")
            time.sleep(0.005)

    def run_host(self, *options):
        host = self.start("run", self.app, *options)
        self.lines_until(host.stderr, "watch: ready")
        return host

    def status(self):
        answer, = ask(self.socket, '{"v":1,"id":1,"command":"status"}')
        self.assertTrue(answer["ok"], answer)
        return answer["result"]

    def burst(self, n, size=10):
        self.assertEqual(self.gatehouse("call", "burst", json.dumps({"n": n, "size": size}))[0], 0)

    def assert_alive(self):
        self.assertEqual(ask(self.socket, '{"id":"still","command":"ping"}'), [{"v": 1, "id": "still", "ok": True, "result": {}}])


class Status(HostCase):
    def test_socket_and_folder_are_for_the_owner_alone(self):
        self.assertEqual(stat.S_IMODE(self.socket.stat().st_mode), 0o600)
        self.assertTrue(stat.S_ISSOCK(self.socket.stat().st_mode))
        self.assertEqual(stat.S_IMODE(self.socket.parent.stat().st_mode), 0o700)

    def test_documented_fields_are_there_with_their_types(self):
        self.burst(20)
        self.until(lambda: self.status()["apps"][0]["handled"] >= 21)
        code, out, err = self.gatehouse("status", "--json")
        self.assertEqual((code, err), (0, ""))
        status = json.loads(out)
        documented = fields_of((pathlib.Path(__file__).resolve().parents[2] / "docs" / "control.md").read_text())
        self.assertGreater(len(documented), 60)
        for path, kind in documented.items():
            for value in values_at(status, path.split(".")):
                self.assertTrue(fits(value, kind), f"{path} should be {kind}: {value!r}")
        self.assertEqual(set(paths_of(status)) - set(documented), set(), "fields that docs/control.md does not name")
        self.assertEqual(status["host"]["pid"], self.host.pid)
        self.assertEqual(status["connection"]["state"], "ready")
        self.assertEqual(status["connection"]["scopes"], ["operator.read", "operator.write"])
        self.assertEqual(status["connection"]["protocol"], 4)
        app, = status["apps"]
        self.assertEqual((app["name"], app["generation"], app["errors"]), ("watch", 1, 0))
        self.assertGreaterEqual(app["inbox"]["pushed"], 21)

    def test_of_a_long_path_the_file_is_what_is_seen(self):
        folder = self.folder / ("long" * 10) / "apps"
        folder.mkdir(parents=True)
        self.stop(self.host)
        self.app = self.write(folder / "named.lua", APP)
        self.host = self.start("run", self.app)
        self.lines_until(self.host.stderr, "named: ready")
        labels = [handler["label"] for handler in self.status()["apps"][0]["handlers"]]
        self.assertEqual(labels[0], "burst (apps/named.lua:2)")

    def test_people_get_words(self):
        code, out, err = self.gatehouse("status")
        self.assertEqual((code, err), (0, ""))
        self.assertRegex(out, rf"host +running for .*process {self.host.pid}")
        self.assertRegex(out, r"connection +ready for .*: ws://127.0.0.1:\d+/\n +protocol 4, gateway ")
        self.assertRegex(out, r"(?m)^watch  generation 1.*watch.lua$")
        self.assertNotIn("\033", out)

    def test_lost_connection_is_told_with_its_reason(self):
        other = self.write("other.lua", "gw.on('x', print)")
        process = self.start("run", other, "--state-dir", self.folder / "second", "--url", "ws://127.0.0.1:1/")
        self.lines_until(process.stderr, "next try")
        code, out, _ = self.gatehouse("status", "--state-dir", self.folder / "second")
        self.assertEqual(code, 0)
        self.assertRegex(out, r"connection +waiting for .*\n .*127.0.0.1.*\n +no connection, 0 reconnects")

    def test_top_prints_once(self):
        self.burst(3)
        code, out, err = self.gatehouse("top", "--once")
        self.assertEqual((code, err), (0, ""))
        self.assertRegex(out, r"(?m)^app +gen +events/s")
        self.assertRegex(out, r"(?m)^watch +1 ")
        self.assert_fails(1, "--once prints once", "top")

    def test_path_longer_than_a_socket_address(self):
        deep = self.folder / ("d" * 120)
        self.run_host("--state-dir", deep)
        code, out, err = self.gatehouse("status", "--json", "--state-dir", deep)
        self.assertEqual((code, json.loads(out)["host"]["state_dir"]), (0, str(deep)), err)


def fields_of(page):
    """{path: type} from the tables of docs/control.md whose first column is a field of status."""
    part = page.split("## status")[1].split("\n## ")[0]
    fields = {}
    for line in part.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) >= 3:
            fields[cells[0].strip("`")] = cells[1]
    return fields


def values_at(value, path):
    if not path:
        yield value
    elif path[0].endswith("[]"):
        for element in value[path[0][:-2]]:
            yield from values_at(element, path[1:])
    elif value is not None or len(path) == 0:
        yield from values_at(value[path[0]], path[1:])


def paths_of(value, prefix=""):
    """The paths of all that is no object."""
    if isinstance(value, dict):
        for key, inner in value.items():
            path = f"{prefix}.{key}" if prefix else key
            if isinstance(inner, list) and inner and isinstance(inner[0], dict):
                for element in inner:
                    yield from paths_of(element, path + "[]")
            elif isinstance(inner, list):
                if key not in ("apps", "handlers"):
                    yield path
            elif isinstance(inner, dict):
                yield from paths_of(inner, path)
            elif not (inner is None and key in ("connection", "problem")):
                yield path


def fits(value, kind):
    if value is None:
        return "null" in kind
    wanted = {"integer": int, "text": str, "boolean": bool, "texts": list}[kind.split(" ")[0]]
    return isinstance(value, wanted) and not (wanted is int and isinstance(value, bool))


class Requests(HostCase):
    def test_many_requests_on_one_connection_are_answered_in_order(self):
        lines = [json.dumps({"v": 1, "id": i, "command": "status" if i % 3 else "hello"}) for i in range(200)]
        answers = ask(self.socket, *lines)
        self.assertEqual([answer["id"] for answer in answers], list(range(200)))
        self.assertTrue(all(answer["ok"] and answer["v"] == 1 for answer in answers))

    def test_wrong_requests_get_a_code_and_a_sentence(self):
        cases = {'garbage': "BAD_REQUEST", '[1]': "BAD_REQUEST", '': "BAD_REQUEST", '{"command":"status"': "BAD_REQUEST",
                 '{"command":"status","id":{}}': "BAD_REQUEST", '{"v":2,"command":"status"}': "UNSUPPORTED_VERSION",
                 '{"v":"1","command":"status"}': "UNSUPPORTED_VERSION", '{"v":1}': "UNKNOWN_COMMAND",
                 '{"v":1,"command":"format"}': "UNKNOWN_COMMAND", '{"command":7}': "UNKNOWN_COMMAND",
                 '{"command":"eval"}': "BAD_REQUEST", '{"command":"eval","app":"watch"}': "BAD_REQUEST",
                 '{"command":"eval","app":"wacht","code":"1"}': "NO_SUCH_APP", '{"command":"tail","events":7}': "BAD_REQUEST",
                 '{"command":"complete","app":"watch","text":"gw[\'"}': "BAD_REQUEST",
                 '{"command":"complete","app":"watch","text":"a\\u0000b\'"}': "BAD_REQUEST",
                 '{"command":"status","id":"' + "x" * 300 + '"}': "BAD_REQUEST"}
        for line, code in cases.items():
            answer, = ask(self.socket, line)
            self.assertEqual((answer["ok"], answer["error"]["code"]), (False, code), line)
            self.assertTrue(answer["error"]["message"], line)
        answer, = ask(self.socket, '{"command":"eval","app":"wacht","code":"1"}')
        self.assertIn('did you mean "watch"?', answer["error"]["message"])
        answer, = ask(self.socket, '{"command":"eval","app":"another","code":"1"}')
        self.assertEqual(answer["error"]["message"], 'there is no app "another" in this host; it has: watch')

    def test_garbage_and_endless_lines_cost_their_own_connection_only(self):
        for hostile in (os.urandom(100000), b"x" * (2 << 20), b"\0" * 5000 + b"\n" * 5000, b'{"a":' * 100000 + b"\n",
                        b'{"v":1,"command":"status","id":' + b"9" * 200 + b"}\n"):
            with connect(self.socket) as peer:
                try:
                    peer.sendall(hostile)
                    peer.shutdown(socket.SHUT_WR)
                    while peer.recv(65536):
                        pass
                except OSError:
                    pass  # it was closed while we wrote
        self.assert_alive()

    def test_line_that_is_too_long_is_told_so(self):
        with connect(self.socket) as peer:
            try:
                peer.sendall(b'{"command":"eval","app":"watch","code":"' + b"x" * (2 << 20))
            except OSError:
                pass
            self.assertEqual(json.loads(peer.makefile().readline())["error"]["code"], "TOO_LARGE")

    def test_code_that_is_too_long_is_refused_in_words(self):
        code, out, err = self.gatehouse("eval", "watch", "-", input="x" * (3 << 20))
        self.assertEqual((code, out, err), (1, "", "gatehouse eval: a request has 1 MiB at most\n"))

    def test_forty_connections_and_half_lines_block_nobody(self):
        peers = [connect(self.socket) for _ in range(40)]
        refused = []
        for peer in peers[:32]:
            peer.sendall(b'{"v":1,"id":')
        for peer in peers[32:]:
            refused.append(json.loads(peer.makefile().readline())["error"]["code"])
        self.assertEqual(refused, ["BUSY"] * 8)
        for i, peer in enumerate(peers[:32]):
            peer.sendall(b'%d,"command":"ping"}\n' % i)
            self.assertEqual(json.loads(peer.makefile().readline()), {"v": 1, "id": i, "ok": True, "result": {}})
        for peer in peers:
            peer.close()
        self.until(lambda: ask(self.socket, '{"command":"ping"}')[0]["ok"])

    def test_peer_that_asks_and_never_reads_stalls_nobody(self):
        with connect(self.socket) as peer:
            peer.setblocking(False)
            sent = 0
            try:
                while sent < 64 << 20:
                    sent += peer.send(b'{"command":"status"}\n' * 1000)
            except BlockingIOError:
                pass
            except OSError:
                pass
            self.assert_alive()
            self.burst(10)
            self.until(lambda: self.status()["apps"][0]["handled"] >= 11)


class Dead(HostCase):
    def test_events_whose_handler_raised_are_listed_and_put_back(self):
        self.assertEqual(self.gatehouse("dead"), (0, "no dead letters\n", ""))
        self.assertEqual(self.gatehouse("call", "fragile", '{"n":2}')[0], 0)
        self.until(lambda: self.status()["apps"][0]["dead_letters"]["count"] == 2)
        code, out, err = self.gatehouse("dead", "watch")
        self.assertEqual((code, err), (0, ""))
        self.assertRegex(out, r"watch: fragile in fragile \(.*watch\.lua:\d+\)\n    .*watch\.lua:\d+: broken at 1\n    stack traceback:\n")
        first, second = json.loads(self.gatehouse("dead", "--json")[1])
        self.assertEqual((first["app"], first["letter"], first["attempts"], second["letter"]), ("watch", 1, 1, 2))
        self.assertEqual(self.gatehouse("dead", "--retry", "watch"), (0, "2 put back into the inbox\n", ""))
        self.until(lambda: [letter["attempts"] for letter in json.loads(self.gatehouse("dead", "--json")[1])] == [2, 2])
        self.assertEqual(self.gatehouse("eval", "watch", "gw.state.mended = true")[0], 0)
        self.assertEqual(self.gatehouse("dead", "--retry"), (0, "2 put back into the inbox\n", ""))
        self.lines_until(self.host.stderr, "watch: mended 2")
        self.assertEqual(self.gatehouse("dead"), (0, "no dead letters\n", ""))

    def test_handler_that_is_off_is_shown(self):
        self.assertEqual(self.gatehouse("call", "fragile", '{"n":12}')[0], 0)
        self.until(lambda: self.status()["apps"][0]["dropped"]["skipped"] == 2)
        handler, = [each for each in self.status()["apps"][0]["handlers"] if each["event"] == "fragile"]
        self.assertEqual((handler["off"], handler["errors"], handler["skipped"]), (True, 10, 2))


class Tail(HostCase):
    def test_events_of_an_app_as_json_lines(self):
        tail = self.start("tail", "--app", "watch", "--count", "3", "burst")
        self.until(lambda: (self.burst(1), tail.poll() is not None)[1])
        out, err = tail.communicate(timeout=LIMIT_S)
        events = [json.loads(line) for line in out.splitlines()]
        self.assertEqual((tail.returncode, err, len(events)), (0, "", 3))
        self.assertEqual([event["event"] for event in events], ["burst"] * 3)
        self.assertEqual(list(events[0]), ["event", "payload", "seq"])
        self.assertEqual(events[0]["payload"]["filler"], "x" * 10)

    def test_patterns_choose_and_other_apps_are_left_out(self):
        with connect(self.socket) as peer:
            peer.sendall(b'{"v":1,"id":"t","command":"tail","app":"watch","events":["ev*"]}\n')
            stream = peer.makefile()
            self.assertEqual(json.loads(stream.readline()), {"v": 1, "id": "t", "ok": True, "result": {}})
            self.burst(5)
            self.gatehouse("call", "evil")
            line = json.loads(stream.readline())
            self.assertEqual((line["id"], line["event"]["event"]), ("t", "evil\033[31m"))

    def test_reader_that_stands_still_misses_lines_and_is_told(self):
        with connect(self.socket) as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.sendall(b'{"command":"tail","app":"watch"}\n')
            stream = peer.makefile()
            self.assertTrue(json.loads(stream.readline())["ok"])
            for _ in range(25):
                self.burst(100, 10000)
            self.until(lambda: self.status()["apps"][0]["handled"] >= 2500)
            seen = missed = 0
            while seen + missed < 2500:
                if seen and not missed and seen % 500 == 0:
                    self.burst(1)  # what is missed is told with the next event that fits
                line = json.loads(stream.readline())
                seen += "event" in line
                missed += line.get("missed", 0)
            self.assertGreater(missed, 0)

    def test_ends_quietly_with_its_reader_a_signal_or_the_host(self):
        tail = self.start("tail", "--app", "watch")
        self.until(lambda: tails(self.host.pid, self.socket) or tail.poll() is not None)
        tail.stdout.close()
        self.assertEqual(tail.wait(timeout=LIMIT_S), 0)

        tail = self.start("tail", "--app", "watch", "burst")
        self.until(lambda: (self.burst(1), os.set_blocking(tail.stdout.fileno(), False), tail.stdout.readline())[2])
        self.assertEqual(self.stop(tail, signal.SIGINT)[0], 0)

        tail = self.start("tail", "--app", "watch", "burst")
        self.until(lambda: (self.burst(1), os.set_blocking(tail.stdout.fileno(), False), tail.stdout.readline())[2])
        self.assertEqual(self.gatehouse("stop")[0], 0)
        out, err = tail.communicate(timeout=LIMIT_S)
        self.assertEqual((tail.returncode, err), (1, "gatehouse tail: the host ended before it answered\n"))

    def test_wrong_words(self):
        self.assert_fails(1, r'there is no app "wach" in this host; did you mean "watch"\?', "tail", "--app", "wach")
        self.assert_fails(2, "--wait is for a gateway", "tail", "--app", "watch", "--wait")


def tails(pid, path):
    """Whether the host has a connection on the socket."""
    return sum(str(path) in line for line in pathlib.Path(f"/proc/{pid}/net/unix").read_text().splitlines()) > 1


class Work(HostCase):
    def test_reload_that_succeeds_and_one_that_fails(self):
        self.assertEqual(self.gatehouse("reload", "watch"), (0, "watch: generation 2 took over from 1\n", ""))
        self.app.write_text(APP + 'error("boom")\n')
        code, out, err = self.gatehouse("reload", "watch")
        self.assertEqual((code, out), (1, ""))
        self.assertRegex(err, r"watch.lua:\d+: boom\n +stack traceback:\n")
        app, = self.status()["apps"]
        self.assertEqual((app["generation"], app["reloads"]["done"], app["reloads"]["failed"]), (2, 1, 1))
        self.assertIn("boom", app["reloads"]["last_error"])
        self.assertRegex(self.gatehouse("status")[1], r"1 reload, 1 failed\n    last reload: .*watch.lua:\d+: boom\n")
        self.app.write_text(APP)
        self.assertEqual(self.gatehouse("reload")[:2], (0, "watch: generation 4 took over from 2\n"))
        self.assertIsNone(self.status()["apps"][0]["reloads"]["last_error"])

    def test_of_several_apps_the_one_that_failed_is_told_first(self):
        self.stop(self.host)
        self.host = self.run_host(self.write("other.lua", APP))
        self.app.write_text(APP + 'error("boom")\n')
        code, out, err = self.gatehouse("reload")
        self.assertEqual((code, out), (1, ""))
        self.assertRegex(err, r"^gatehouse reload: watch: it was not reloaded.*boom\n(.*\n)+    other: generation 2 took over from 1\n$")

    def test_code_runs_in_the_app(self):
        self.assertEqual(self.gatehouse("eval", "watch", 'log.info("from outside", { sum = #gw.app.name + 37 })')[::2], (0, ""))
        self.lines_until(self.host.stderr, "watch: from outside  sum=42")
        code, out, err = self.gatehouse("eval", "watch", "-", input="local function f()\n  error('inside')\nend\nf()\n")
        self.assertEqual((code, out), (1, ""))
        self.assertRegex(err, r"^gatehouse eval: eval:2: inside\n +stack traceback:\n")

    def test_what_the_code_prints_is_in_its_answer(self):
        for code, shown in (("print('a', nil, 1.0) print() return 7", "a\tnil\t1.0\n\n7\n"), ("print('a')", "a\n"),
                            ("print('a') task.sleep(0.01) print('b')", "a\nb\n"), ("coroutine.wrap(print)('inside')", "inside\n"),
                            ("print(setmetatable({}, { __tostring = function() return 'me' end }))", "me\n")):
            self.assertEqual(self.gatehouse("eval", "watch", code), (0, shown, ""))
        self.assertEqual(self.gatehouse("repl", "watch", input="for i = 1, 2 do\nprint(i)\nend\n3\n"), (0, "1\n2\n3\n", ""))
        code, out, err = self.gatehouse("eval", "watch", "for i = 1, 30 do print(i) end error('no')")
        self.assertEqual((code, out), (1, ""))
        self.assertRegex(err, r"^gatehouse eval: eval:1: no\n(.*\n)+ +printed before:\n +11\n(.*\n){18} +30\n$")
        lines = self.gatehouse("eval", "watch", "for i = 1, 200 do print(('x'):rep(1023)) end")[1].splitlines()
        self.assertEqual((len(lines), lines[-1]), (65, "… and 136 more lines"))

    def test_what_prints_when_nobody_waits_any_more_goes_to_the_log(self):
        self.assertEqual(self.gatehouse("eval", "watch", "timer.after(0, function() print('later') end) return")[0], 0)
        self.lines_until(self.host.stderr, "watch: later")

    def test_values_are_shown_as_a_repl_does(self):
        for code, shown in (("1 + 1", "2\n"), ("'a\tb', nil, 1.0", "a\tb\tnil\t1.0\n"), ("{ 1, { x = 'y' } }", '[1,{"x":"y"}]\n'), ("local x = 1", ""),
                            ("setmetatable({}, { __tostring = function() return 'me' end })", "me\n"), ("return 'ü'", "ü\n"),
                            ("gw.app.name", "watch\n"), ("gw.state", "{}\n"), ("gw.state.seen = { 1, 2 }", ""), ("gw.state", '{"seen":[1,2]}\n')):
            self.assertEqual(self.gatehouse("eval", "watch", code), (0, shown, ""))
        self.assertRegex(self.gatehouse("eval", "watch", "{ print }, print")[1], r"^table: 0x\w+\tfunction: .*\n$")
        self.assertEqual(self.gatehouse("eval", "watch", "setmetatable({}, { __tostring = function() error('no') end })")[0], 1)

    def test_names_are_completed(self):
        self.gatehouse("eval", "watch", "gw.state.alpha = { beta = 1 }")
        for text, names in (("gw.s", ["gw.send", "gw.state"]), ("gw.state.", ["gw.state.alpha"]), ("gw.state.alpha.", ["gw.state.alpha.beta"]),
                            ("string:rep", ["string:rep"]), ("nope.x", []), ("prin", ["print"])):
            answer, = ask(self.socket, json.dumps({"command": "complete", "app": "watch", "text": text}))
            self.assertEqual(answer["result"]["names"], names, text)

    def test_code_that_ends_too_early_is_told_from_code_that_is_wrong(self):
        for code, said in (("for i = 1, 2 do", "INCOMPLETE"), ("f(", "INCOMPLETE"), ("x = = 1", "EVAL_FAILED"),
                           ("error('near <eof>')", "EVAL_FAILED"), ("return nothing.at.all", "EVAL_FAILED")):
            answer, = ask(self.socket, json.dumps({"command": "eval", "app": "watch", "code": code}))
            self.assertEqual(answer["error"]["code"], said, answer)

    def test_repl_goes_on_after_an_incomplete_line(self):
        code, out, err = self.gatehouse("repl", "watch", input="for i = 1, 2 do\nlog.info('turn', { i = i })\nend\n")
        self.assertEqual((code, err), (0, ""))
        self.lines_until(self.host.stderr, "watch: turn  i=2")

    def test_busy_app_delays_its_own_answers_only(self):
        with connect(self.socket) as peer:
            peer.sendall(b'{"id":"slow","command":"eval","app":"watch","code":"while not gw.state.go do task.sleep(0.01) end error(1)"}\n')
            for _ in range(20):
                self.assert_alive()
            ask(self.socket, '{"command":"eval","app":"watch","code":"gw.state.go = true"}')
            self.assertEqual(json.loads(peer.makefile().readline())["id"], "slow")

    def test_stop_answers_those_who_still_wait(self):
        with connect(self.socket) as peer:
            peer.sendall(b'{"id":"slow","command":"eval","app":"watch","code":"task.sleep(3600)"}\n')
            self.assert_alive()
            self.assertEqual(self.gatehouse("stop")[0], 0)
            self.assertEqual(json.loads(peer.makefile().readline())["id"], "slow")
        self.assertEqual(self.host.wait(timeout=LIMIT_S), 0)


class Life(HostCase):
    def test_stop_waits_for_the_process(self):
        code, out, err = self.gatehouse("stop")
        self.assertEqual((code, out, err), (0, f"stopped (process {self.host.pid})\n", ""))
        self.assertFalse(self.socket.exists())
        self.run_host()  # at once: the state folder is free
        self.assertEqual(self.host.wait(timeout=LIMIT_S), 0)

    def test_second_host_is_refused_with_the_pid_of_the_first(self):
        second = self.start("run", self.app)
        _, err = second.communicate(timeout=LIMIT_S)
        self.assertEqual(second.returncode, 1)
        self.assertIn(f"process {self.host.pid}", err)
        self.assert_alive()

    def test_socket_of_a_host_that_died_is_replaced(self):
        self.host.kill()
        self.host.wait()
        self.assertTrue(self.socket.exists())
        self.assert_fails(1, "no gatehouse is running on the state folder .*/state .start one with gatehouse run", "status")
        self.host = self.run_host()
        self.assert_alive()

    def test_nobody_is_there(self):
        empty = {"GATEHOUSE_STATE_DIR": str(self.folder / "nowhere")}
        for words in (["status"], ["status", "--json"], ["reload"], ["eval", "watch", "1"], ["repl", "watch"], ["top", "--once"],
                      ["dead"], ["stop"], ["tail", "--app", "watch"]):
            self.assert_fails(1, "no gatehouse is running on the state folder .*/nowhere", *words, environment=empty)
        self.assertFalse((self.folder / "nowhere").exists())

    def test_something_else_in_the_place_of_the_socket(self):
        place = self.write("third/control.sock", "mine", 0o600)
        place.parent.chmod(0o700)
        process = self.start("run", self.app, "--state-dir", place.parent)
        _, err = process.communicate(timeout=LIMIT_S)
        self.assertEqual(process.returncode, 1)
        self.assertIn("is no socket; move it away", err)
        self.assertEqual(place.read_text(), "mine")


if __name__ == "__main__":
    main()
