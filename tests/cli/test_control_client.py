"""The subcommands that talk to a running host, against a host that a test plays: what they show of whatever it says, and how they
behave at a terminal."""
import fcntl
import json
import os
import pty
import re
import signal
import socket
import stat
import struct
import termios
import threading
import time

from harness import Case, LIMIT_S, main

EVIL = "\x1b]0;owned\x07\x1b[31m\u202e"


class FakeHost:
    """Answers control requests with what `answer(request)` gives: a result, or an Error."""

    def __init__(self, case, answer):
        self.answer, self.requests = answer, []
        folder = case.folder / "state"
        folder.mkdir(mode=0o700, exist_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(folder / "control.sock"))
        self.listener.listen()
        self.peers = []
        threading.Thread(target=self._accept, daemon=True).start()
        case.addCleanup(self.close)

    def close(self):
        (self.listener.shutdown(socket.SHUT_RDWR), self.listener.close()) if self.listener.fileno() >= 0 else None
        for peer in self.peers:
            try:
                peer.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            self.peers.append(peer)
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer):
        with peer, peer.makefile() as lines:
            for line in lines:
                request = json.loads(line)
                self.requests.append(request)
                result = self.answer(request)
                answer = {"v": 1, "id": request["id"], "ok": not isinstance(result, Error)}
                answer |= {"error": {"code": result.code, "message": result.message}} if isinstance(result, Error) else {"result": result}
                try:
                    peer.sendall(json.dumps(answer).encode() + b"\n")
                except OSError:
                    return


class Error:
    def __init__(self, code, message):
        self.code, self.message = code, message


class Screen:
    """A process at a terminal of its own."""

    def __init__(self, case, *arguments, rows=24, columns=80, environment=None):
        self.case = case
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(slave)
        self.process = case.start(*arguments, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                  environment={"TERM": "xterm", **(environment or {})},
                                  preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.slave = slave
        self.text = ""
        os.set_blocking(self.master, False)
        case.addCleanup(os.close, self.master)
        case.addCleanup(os.close, slave)

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _read(self):
        try:
            self.text += os.read(self.master, 65536).decode(errors="replace")
        except (BlockingIOError, OSError):
            pass

    def until(self, pattern):
        """What came up to the pattern; the rest stays."""
        limit = time.monotonic() + LIMIT_S
        while not (found := re.search(pattern, self.text, re.S)):
            self.case.assertLess(time.monotonic(), limit, f"no {pattern!r} in {self.text!r}")
            time.sleep(0.005)
            self._read()
        seen, self.text = self.text[:found.end()], self.text[found.end():]
        return seen

    def type(self, text):
        os.write(self.master, text.encode())

    def until_edited(self):
        """The prompt is there a moment before the editor has the keys; until then ctrl-C is a signal."""
        limit = time.monotonic() + LIMIT_S
        while termios.tcgetattr(self.slave)[3] & termios.ISIG:
            self.case.assertLess(time.monotonic(), limit, "the editor never had the keys")
            time.sleep(0.001)

    def ended(self):
        status = self.process.wait(timeout=LIMIT_S)
        self._read()
        return status

    def restored(self):
        return termios.tcgetattr(self.slave)[:4] == self.before[:4]


STATUS = {
    "host": {"pid": 7, "version": "9.9.9", "state": "running", "uptime_ms": 3723000, "cpu_ms": 1500, "rss_bytes": 8 << 20,
             "events": {"received": 12, "unwanted": 2, "withheld": 3, "lost": 0}, "reading": {"paused": False, "pauses": 2, "paused_ms": 1500},
             "log": {"lines": 1, "dropped": 4}},
    "connection": {"url": "ws://127.0.0.1:1/", "state": "ready", "for_ms": 65000, "problem": None, "protocol": 4, "server_version": "1" + EVIL,
                   "scopes": ["a", EVIL], "tick_age_ms": 10, "tick_interval_ms": 30000, "reconnects": 1, "gaps": 2, "missed_events": 5,
                   "requests": {"made": 9, "in_flight": 1, "waiting": 0, "errors": 1}},
    "apps": [{"name": name, "path": "apps/" + name + EVIL, "generation": 3, "loaded_at_ms": 1795355070844, "draining": 2, "running": "agent" + EVIL,
              "running_ms": 4000, "stuck": False, "handled": handled, "errors": errors, "cpu_ms": cpu, "memory": {"used_bytes": memory, "limit_bytes": 1 << 20},
              "inbox": {"count": queue, "bytes": 10}, "dropped": {"handler_queue": 0, "withheld": 3}, "dead_letters": {"count": 1},
              "reloads": {"done": 2, "failed": 1, "rollbacks": 0, "last_error": "x.lua:1: boom" + EVIL + "\nstack traceback:\n\t[C]: in error"},
              "handlers": [{"event": "agent", "label": "agent (x.lua:3)" + EVIL, "handled": 5, "errors": 1, "skipped": 2, "queued": 0, "running": 0,
                            "off": True, "latency_us": {"p50": 12, "p95": 1500, "p99": 2500000, "max": 9000000}}]}
             for name, handled, errors, cpu, memory, queue in (("alpha", 100, 0, 900, 1000, 5), ("beta", 50, 7, 100, 900000, 1), ("gamma", 7000, 1, 500, 5000, 30))],
}


class Shown(Case):
    def test_status_in_words(self):
        FakeHost(self, lambda request: STATUS)
        code, out, err = self.gatehouse("status")
        self.assertEqual((code, err), (0, ""))
        self.assertRegex(out, r"host +running for 1 h 2 min: process 7\n +gatehouse 9.9.9, 1.5 s of CPU time, 8.0 MiB")
        self.assertRegex(out, r"12 received, 2 of them for no app, 3 kept from apps that were stuck; reading has waited .* 2 times, 1.5 s altogether; 4 log")
        self.assertRegex(out, r"last tick 10 ms ago \(due every 30.0 s\), 1 reconnect, 2 gaps, 5 events missed in them")
        self.assertRegex(out, r"(?m)^alpha  generation 3 since 2026-11-2\d \d\d:\d\d:\d\d, from apps/alpha")
        self.assertRegex(out, r"\n    1 dead letter \(gatehouse dead alpha lists them\)\n")
        self.assertRegex(out, r"generation 2 finishes what it had begun")
        self.assertNotRegex(out, r"(?m) +$")
        self.assertRegex(out, r"2 reloads, 1 failed\n    last reload: x.lua:1: boom\S*\n")
        self.assertRegex(out, r"handler +calls +errors +skipped +p50 +p95 +p99 +max")
        self.assertRegex(out, r"agent \(x.lua:3\)\S* +5 +1 +2 +12 us +1.5 ms +2.5 s +9.0 s +off")

    def test_handlers_of_an_app_that_is_well_fit_in_80_columns(self):
        status = json.loads(json.dumps(STATUS))
        handler = status["apps"][0]["handlers"][0]
        handler.update({"label": "agent (watch.lua:12)", "handled": 12345, "errors": 0, "skipped": 0, "off": False})
        handler["latency_us"] = dict.fromkeys(("p50", "p95", "p99", "max"), 999900)
        FakeHost(self, lambda request: status)
        out = self.gatehouse("status")[1]
        line = re.search(r"(?m)^    agent \(watch.*$", out)[0]
        self.assertRegex(line, r" 12345 +0 +999.9 ms")
        self.assertLessEqual(len(line), 80)

    def test_no_hostile_name_reaches_the_terminal(self):
        evil = {"dead": [{"app": EVIL, "event": EVIL, "handler": EVIL, "error": EVIL + "\n\t" + EVIL, "at_ms": 1}], "status": STATUS,
                "eval": {"text": "a" + EVIL + "\n\tb"}, "hello": {"apps": [EVIL]}}
        FakeHost(self, lambda request: evil.get(request["command"], Error("X", EVIL + "\n" + EVIL)))
        for words in (["status"], ["status", "--json"], ["top", "--once"], ["dead"], ["dead", "--json"], ["eval", "w", "1"], ["reload"], ["repl", "w"],
                      ["tail", "--app", "w"], ["stop"]):
            screen = Screen(self, *words, environment={"NO_COLOR": "1"})
            screen.ended()
            for hostile in ("\x1b", "\x07", "\u202e"):
                self.assertNotIn(hostile, screen.text, words)
            self.assertTrue(screen.text.strip(), words)

    def test_colour_is_for_terminals_that_want_it(self):
        FakeHost(self, lambda request: STATUS)
        for environment, coloured in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
            screen = Screen(self, "status", environment=environment)
            screen.ended()
            self.assertEqual("\x1b[32mrunning\x1b[0m" in screen.text, coloured, environment)

    def test_reload_tells_what_happened(self):
        host = FakeHost(self, lambda request: {"text": "watch: generation 3 took over from 2"})
        self.assertEqual(self.gatehouse("reload", "watch"), (0, "watch: generation 3 took over from 2\n", ""))
        self.assertEqual(host.requests[-1], {"v": 1, "id": 1, "command": "reload", "app": "watch"})
        self.gatehouse("reload")
        self.assertNotIn("app", host.requests[-1])

    def test_reload_that_fails_shows_the_traceback(self):
        FakeHost(self, lambda request: Error("RELOAD_FAILED", "watch: w.lua:3: boom\nstack traceback:\n\t[C]: in function 'error'"))
        code, out, err = self.gatehouse("reload", "watch")
        self.assertEqual((code, out), (1, ""))
        self.assertRegex(err, r"^gatehouse reload: watch: w.lua:3: boom\n +stack traceback:\n")

    def test_eval_takes_an_argument_or_stdin(self):
        host = FakeHost(self, lambda request: {"text": request["code"].upper()})
        self.assertEqual(self.gatehouse("eval", "watch", 'x = "ä\n"'), (0, 'X = "Ä\n"\n', ""))
        self.assertEqual(self.gatehouse("eval", "watch", "-", input="one\ntwo\n"), (0, "ONE\nTWO\n", ""))
        self.assertEqual(host.requests[-1]["code"], "one\ntwo\n")
        self.assert_fails(2, "name an app and the code", "eval", "watch")
        self.assert_fails(2, "quote it", "eval", "watch", "1", "+")

    def test_dead_letters(self):
        letters = [{"app": "watch", "event": "agent", "handler": "agent (w.lua:3)", "error": "w.lua:4: boom\nstack traceback:\n\t[C]", "at_ms": 1795355070844}]
        host = FakeHost(self, lambda request: {"retried": 2} if request.get("retry") else letters if request.get("app") == "watch" else [])
        code, out, _ = self.gatehouse("dead", "watch")
        self.assertEqual(code, 0)
        self.assertRegex(out, r"^2026-11-2\d [\d:]+  watch: agent in agent \(w.lua:3\)\n    w.lua:4: boom\n    stack traceback:\n")
        self.assertEqual(self.gatehouse("dead"), (0, "no dead letters\n", ""))
        self.assertEqual(self.gatehouse("dead", "--retry"), (0, "2 put back into the inbox\n", ""))
        self.assertEqual(json.loads(self.gatehouse("dead", "watch", "--json")[1]), letters)
        self.assertEqual(host.requests[-2]["retry"], True)

    def test_host_that_goes_away_or_talks_nonsense(self):
        host = FakeHost(self, lambda request: host.close())
        self.assert_fails(1, "the host ended before it answered", "status")
        (self.folder / "state" / "control.sock").unlink()
        FakeHost(self, lambda request: os._exit if False else "text")
        for words in (["status"], ["top", "--once"], ["dead"], ["reload"], ["eval", "w", "1"]):
            self.assertEqual(self.gatehouse(*words)[0], 0, words)  # odd, but an answer


class Repl(Case):
    """Lua that knows two things: an open `(` is incomplete, and upper() is what everything evaluates to."""

    NAMES = ["gw.send", "gw.state", "gw.subscribe", "print"]

    def play(self, request):
        if request["command"] == "hello":
            return {"apps": ["other", "watch"]}
        if request["command"] == "complete":
            return {"names": [name for name in self.NAMES if name.startswith(request["text"])]}
        code = request["code"]
        if code.count("(") > code.count(")"):
            return Error("INCOMPLETE", "[code]:1: unexpected symbol near <eof>")
        if "boom" in code:
            return Error("EVAL_FAILED", "[code]:1: boom\nstack traceback:\n\t[C]: in function 'error'")
        return {"text": code.upper()}

    def codes(self):
        return [request["code"] for request in self.host.requests if request["command"] == "eval"]

    def setUp(self):
        super().setUp()
        self.host = FakeHost(self, self.play)

    def test_lines_from_stdin(self):
        code, out, err = self.gatehouse("repl", "watch", input="one\n\nf(\n  1\n)\nlast")
        self.assertEqual((code, out, err), (0, "ONE\nF(\n  1\n)\nLAST\n", ""))
        code, out, err = self.gatehouse("repl", "watch", input="boom\ntwo\n")
        self.assertEqual((code, out), (1, "TWO\n"))
        self.assertRegex(err, r"^\[code\]:1: boom\nstack traceback:\n\t")
        code, out, err = self.gatehouse("repl", "watch", input="f(\n")
        self.assertEqual((code, out, err), (1, "", "[code]:1: unexpected symbol near <eof>\n"))

    def test_app_that_is_not_there(self):
        self.assert_fails(1, 'there is no app "nope" in the running host; it has: other, watch', "repl", "nope")
        self.assert_fails(2, "is no name of an app", "repl", "a b")
        self.assert_fails(2, "name one app", "repl")

    def test_line_editing_and_more_lines(self):
        screen = Screen(self, "repl", "watch")
        screen.until("watch> ")
        screen.type("tw\x7fhrree\x1b[D\x1b[D\x08\n")  # backspace, two times left, backspace
        screen.until("THREE\r\n.*watch> ")
        screen.type("f(\n")
        screen.until("watch>> ")
        screen.type("1)\n")
        screen.until(r"F\(\r\n1\)\r\n.*watch> ")
        screen.type("boom\n")
        screen.until(r"stack traceback:.*watch> ")
        screen.type("\x04")
        self.assertEqual(screen.ended(), 0)
        self.assertEqual(self.codes(), ["three", "f(", "f(\n1)", "boom"])
        self.assertTrue(screen.restored())

    def test_ctrl_c_abandons_what_was_typed(self):
        screen = Screen(self, "repl", "watch")
        screen.until("watch> ")
        screen.type("f(\n")
        screen.until("watch>> ")
        screen.until_edited()
        screen.type("half\x03")
        screen.until(r"\^C\r\n.*watch> ")
        screen.type("whole\n")
        screen.until("WHOLE.*watch> ")
        screen.type("\x04")
        self.assertEqual(screen.ended(), 0)
        self.assertEqual(self.codes(), ["f(", "whole"])

    def test_tab_completes_and_lists(self):
        screen = Screen(self, "repl", "watch")
        screen.until("watch> ")
        screen.type("x = gw.se\t")
        screen.until("nd")  # the rest of gw.send
        screen.type("()\n")
        screen.until("watch> ")
        screen.type("gw.\t")
        screen.until("s")
        screen.type("\t")
        screen.until(r"gw.send +gw.state +gw.subscribe")
        screen.type("u\t\n")
        screen.until("GW.SUBSCRIBE")
        screen.type("\tif\n")  # with nothing to complete it indents
        screen.until("IF")
        screen.type("\x04")
        screen.ended()
        self.assertEqual(self.codes(), ["x = gw.send()", "gw.subscribe", "  if"])

    def test_hostile_completions_are_not_typed(self):
        self.NAMES = ["gw.send" + EVIL, "gw.send\nos.exit()", "gw.s\x1b[2J", "other"]
        screen = Screen(self, "repl", "watch")
        screen.until("watch> ")
        screen.type("gw.s\t\t")
        screen.type("\x05!\n")
        screen.until("GW")
        screen.type("\x04")
        screen.ended()
        self.assertNotIn("\x1b[2J", screen.text)
        self.assertRegex(self.codes()[0], r"^gw\.s(end)?!$")

    def test_history_is_kept_for_its_owner_alone(self):
        for keys, said in (("first = 1\nsecond = 2\n", "SECOND = 2"), ("\x1b[A\x1b[A\n", "FIRST = 1")):
            screen = Screen(self, "repl", "watch")
            screen.until("watch> ")
            screen.type(keys)
            screen.until(said)
            screen.type("\x04")
            self.assertEqual(screen.ended(), 0)
        self.assertEqual(stat.S_IMODE((self.folder / "state" / "repl.history").stat().st_mode), 0o600)
        self.assertEqual(self.codes()[-1], "first = 1")

    def test_signal_that_ends_it_gives_the_terminal_back(self):
        for number in (signal.SIGTERM, signal.SIGHUP):
            screen = Screen(self, "repl", "watch")
            screen.until("watch> ")
            screen.type("half")
            screen.until("half")
            self.assertFalse(screen.restored())
            screen.process.send_signal(number)
            self.assertEqual(screen.ended(), -number)
            self.assertTrue(screen.restored())

    def test_text_beyond_ascii(self):
        screen = Screen(self, "repl", "watch", environment={"LC_ALL": "C"})
        screen.until("watch> ")
        screen.type("größe→\n")
        screen.until("GRÖSSE→|GRÖßE→")
        screen.type("\x04")
        screen.ended()
        self.assertEqual(self.codes(), ["größe→"])

    def test_host_that_goes_away_ends_it(self):
        screen = Screen(self, "repl", "watch")
        screen.until("watch> ")
        self.host.close()
        screen.type("one\n")
        screen.until("the host ended before it answered")
        self.assertEqual(screen.ended(), 1)


class Top(Case):
    def order(self, screen):
        screen.until(r"events/s")
        seen = screen.until(r"q quit")
        return re.findall(r"\n(?:\x1b\[K)?(alpha|beta|gamma)", seen)

    def setUp(self):
        super().setUp()
        self.host = FakeHost(self, lambda request: STATUS)

    def test_keys_sort_and_q_gives_the_terminal_back(self):
        screen = Screen(self, "top", rows=40, columns=150)
        screen.until(r"\x1b\[\?1049h")
        self.assertEqual(self.order(screen), ["alpha", "gamma", "beta"])  # by CPU time
        for key, order in (("m", ["beta", "gamma", "alpha"]), ("e", None), ("u", ["gamma", "alpha", "beta"]), ("r", ["beta", "gamma", "alpha"]),
                           ("n", ["alpha", "beta", "gamma"])):
            screen.type(key)
            shown = self.order(screen)
            if order:
                self.assertEqual(shown, order, key)
        self.assertFalse(screen.restored())
        screen.type("q")
        self.assertEqual(screen.ended(), 0)
        self.assertIn("\x1b[?25h\x1b[?1049l", screen.text)
        self.assertTrue(screen.restored())

    def test_ctrl_z_gives_the_terminal_back_until_it_goes_on(self):
        screen = Screen(self, "top", rows=40, columns=150)
        self.order(screen)
        screen.type("\x1a")
        screen.until(r"\x1b\[\?25h\x1b\[\?1049l")
        self.assertTrue(os.WIFSTOPPED(os.waitpid(screen.process.pid, os.WUNTRACED)[1]))
        self.assertTrue(screen.restored())
        screen.process.send_signal(signal.SIGCONT)
        screen.until(r"\x1b\[\?1049h")
        self.order(screen)
        screen.type("q")
        self.assertEqual(screen.ended(), 0)
        self.assertTrue(screen.restored())

    def test_it_refreshes_by_itself(self):
        screen = Screen(self, "top", rows=40, columns=150)
        self.order(screen)
        self.order(screen)
        self.assertGreaterEqual(len(self.host.requests), 2)
        screen.type("\x03")
        self.assertEqual(screen.ended(), 0)
        self.assertTrue(screen.restored())

    def test_window_of_any_size(self):
        screen = Screen(self, "top", rows=40, columns=150)
        self.order(screen)
        screen.resize(6, 30)
        os.kill(screen.process.pid, signal.SIGWINCH)
        screen.until(r"\x1b\[6;1H")
        seen = screen.until(r"\x1b\[6;1H")
        lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.split("\x1b[H")[-1]).split("\r\n")
        self.assertLessEqual(len(lines), 6)
        for line in lines:
            self.assertLessEqual(len(line), 30, repr(line))
        screen.process.terminate()
        self.assertEqual(screen.ended(), 0)
        self.assertTrue(screen.restored())

    def test_host_that_ends_is_told_on_the_usual_screen(self):
        screen = Screen(self, "top", rows=40, columns=150)
        self.order(screen)
        self.host.close()
        screen.until(r"\x1b\[\?1049l.*gatehouse top: the host ended before it answered")
        self.assertEqual(screen.ended(), 1)
        self.assertTrue(screen.restored())


if __name__ == "__main__":
    main()
