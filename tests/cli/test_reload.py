"""Reloads through the real binary: whatever the connection is doing, however a load fails, whoever asks, and what --watch sees."""
import json
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

from harness import Case, Gateway, LIMIT_S, main, needs_signals

PAIRING = {"code": "NOT_PAIRED", "message": "pairing required",
           "details": {"code": "PAIRING_REQUIRED", "reason": "not-paired", "requestId": "req-7"}}


class ReloadCase(Case):
    """A host with the app `app`, and what it logs, line by line."""

    def setUp(self):
        super().setUp()
        self.environment["OPENCLAW_GATEWAY_TOKEN"] = "t"

    def app(self, text):
        """Writes the script as an editor that replaces files."""
        self.write("app.lua.new", text).rename(self.folder / "app.lua")

    def run_host(self, gateway, *arguments, apps=("app.lua",)):
        url = gateway if isinstance(gateway, str) else gateway.url
        self.host = self.start("run", *apps, "--url", url, *arguments)
        return self.host

    def logged(self, text):
        return self.lines_until(self.host.stderr, text)

    def reload(self, *arguments):
        return self.gatehouse("reload", *arguments)

    def status(self, name="app"):
        code, out, err = self.gatehouse("status", "--json")
        self.assertEqual(code, 0, err)
        return next((app for app in json.loads(out)["apps"] if app["name"] == name), None)

    def until(self, condition):
        limit = time.monotonic() + LIMIT_S
        while not condition():
            self.assertLess(time.monotonic(), limit, "it did not come")
            time.sleep(0.01)

    def end_children(self):
        """Ends what the host has started."""
        for children in pathlib.Path(f"/proc/{self.host.pid}/task").glob("*/children"):
            for child in children.read_text().split():
                os.kill(int(child), signal.SIGKILL)

    def assert_reloaded(self, generation=2, before=1):
        self.assertEqual(self.reload("app"), (0, f"app: generation {generation} took over from {before}\n", ""))

    def assert_stops(self, code=0):
        got, _, err = self.stop(self.host)
        self.assertEqual(got, code, err)
        return err


def numbered(name):
    return f'gw.on("agent", function(p) log.info("{name} " .. p.n) end)\n'


class Connection(ReloadCase):
    def test_while_a_request_waits(self):
        asked = []
        gateway = Gateway(self, lambda peer, request: asked.append((peer, request)))
        self.app('gw.on("agent", function(p) log.info("old " .. p.n .. " " .. gw.send("echo", {}).text) end)')
        self.run_host(gateway)
        peer = gateway.peers.get(timeout=LIMIT_S)
        peer.event("agent", {"n": 1})
        self.until(lambda: asked)
        self.app(numbered("new"))
        self.assert_reloaded()
        peer.event("agent", {"n": 2})
        peer.reply(asked[0][1], {"text": "answered"})
        lines = self.logged("new 2")
        self.assertEqual([line.split("app: ")[1].strip() for line in lines if "app: old" in line or "app: new" in line],
                         ["old 1 answered", "new 2"])
        self.assert_stops()
        self.assertEqual(len(asked), 1)

    def test_request_that_waits_longer_than_the_grace(self):
        gateway = Gateway(self, lambda peer, request: None)
        self.app('gw.on("agent", function(p) local _, err = gw.send("echo", {}) log.info("ended with " .. err.code) end)')
        self.write("gatehouse.lua", 'return { apps = { app = { path = "app.lua", grace = 0.1 } } }')
        self.run_host(gateway, apps=())
        gateway.peers.get(timeout=LIMIT_S).event("agent", {"n": 1})
        self.until(lambda: gateway.requests.qsize() == 2)
        self.app(numbered("new"))
        self.assert_reloaded()
        self.logged("ended with RELOADED")
        self.assert_stops()

    def test_while_the_connection_is_down(self):
        with socket.create_server(("127.0.0.1", 0)) as gone:
            port = gone.getsockname()[1]
        self.app('gw.on("@ready", function() log.info("old") end)')
        self.run_host(f"ws://127.0.0.1:{port}")
        self.logged("next try in")
        self.app('gw.on("@start", function() log.info("at " .. gw.info().state) end)\ngw.on("@ready", function() log.info("new") end)')
        self.assert_reloaded()
        self.logged("app: at waiting")
        listener = socket.create_server(("127.0.0.1", port))
        gateway = Gateway(self)
        gateway.listener.close()
        gateway.listener = listener
        self.addCleanup(listener.close)
        threading.Thread(target=gateway._accept, daemon=True).start()
        self.host.send_signal(signal.SIGHUP)  # ends the wait
        self.assertNotIn("app: old", "".join(self.logged("app: new")))
        self.assert_stops()

    def test_while_pairing_waits(self):
        paired = threading.Event()

        def connect(peer, request):
            if paired.is_set():
                peer.reply(request, Gateway.HELLO)
            else:
                peer.refuse(request, PAIRING)

        gateway = Gateway(self, connect=connect)
        self.app('gw.on("@ready", function() log.info("old") end)')
        self.run_host(gateway)
        self.logged("waiting for pairing")
        self.app('gw.on("@ready", function() log.info("new") end)')
        self.assert_reloaded()
        paired.set()
        self.host.send_signal(signal.SIGHUP)
        self.assertNotIn("app: old", "".join(self.logged("app: new")))
        self.assert_stops()

    def test_during_the_handshake(self):
        connecting, go_on = threading.Event(), threading.Event()

        def connect(peer, request):
            connecting.set()
            go_on.wait(LIMIT_S)
            peer.reply(request, Gateway.HELLO)
            peer.event("agent", {"n": 1})

        gateway = Gateway(self, connect=connect)
        self.app(numbered("old"))
        self.run_host(gateway)
        self.assertTrue(connecting.wait(LIMIT_S))
        self.app(numbered("new"))
        self.assert_reloaded()
        go_on.set()
        self.assertNotIn("app: old", "".join(self.logged("app: new 1")))
        self.assert_stops()

    def test_before_the_challenge(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            self.app(numbered("old"))
            self.run_host(f"ws://127.0.0.1:{silent.getsockname()[1]}")
            connection, _ = silent.accept()
            self.app(numbered("new"))
            self.assert_reloaded()
            connection.close()
            self.assert_stops()

    def test_stop_tells_who_waits_for_a_reload(self):
        gateway = Gateway(self, lambda peer, request: None)
        self.app('gw.on("agent", function() gw.send("echo", {}) end)')
        self.run_host(gateway)
        gateway.peers.get(timeout=LIMIT_S).event("agent", {"n": 1})
        self.until(lambda: gateway.requests.qsize() == 2)
        self.assert_reloaded()
        caller = self.start("reload", "app")  # waits until the one before has drained
        self.until(lambda: self.status()["loading"])
        self.assert_stops()
        out, err = caller.communicate(timeout=LIMIT_S)
        self.assertEqual((caller.returncode, out), (1, ""))
        self.assertIn("the app is stopping", err)

    def test_reload_while_the_host_stops(self):
        gateway = Gateway(self)
        self.app('gw.on("@stop", function() log.info("stopping") task.sleep(1) end)')
        self.run_host(gateway)
        gateway.peers.get(timeout=LIMIT_S)
        self.host.send_signal(signal.SIGTERM)
        self.logged("app: stopping")
        code, out, err = self.reload("app")
        self.assertEqual((code, out), (1, ""))
        self.assertIn("the host is stopping", err)
        self.assertEqual(self.host.wait(LIMIT_S), 0)

    def test_two_at_once(self):
        gateway = Gateway(self, lambda peer, request: peer.reply(request, {}))
        self.app(numbered("old"))
        self.run_host(gateway)
        peer = gateway.peers.get(timeout=LIMIT_S)
        self.app("local until_us = os.clock() + 0.2 while os.clock() < until_us do end\n" + numbered("new"))
        callers = [self.start("reload", "app") for _ in range(4)]
        for caller in callers:
            out, err = caller.communicate(timeout=LIMIT_S)
            self.assertEqual((caller.returncode, err), (0, ""))
            self.assertRegex(out, r"^app: generation \d took over from \d\n$")
        peer.event("agent", {"n": 1})
        self.logged("new 1")
        self.assertLessEqual(self.status()["generation"], 5)
        self.assert_stops()

    def test_start_handler_that_waits(self):
        gateway = Gateway(self, lambda peer, request: peer.reply(request, {"text": "answered"}))
        self.app(numbered("old"))
        self.run_host(gateway)
        peer = gateway.peers.get(timeout=LIMIT_S)
        self.app('gw.on("@start", function(p) log.info(p.reason .. " " .. gw.send("echo", {}).text) end)\n' + numbered("new"))
        self.assert_reloaded()
        self.logged("answered")
        peer.event("agent", {"n": 1})
        self.logged("new 1")
        self.assert_stops()


class Failures(ReloadCase):
    WAYS = {
        "syntax": ("local = 1", r"app\.lua:1: .*near '='"),
        "raise": ("local function f()\n  error('boom')\nend\nf()", r"app\.lua:2: boom\n.*stack traceback:(.*\n)*.*app\.lua:4"),
        "module": ("require 'not.there'", r"module 'not\.there' not found"),
        "check": ("gw.on('@start', function() error('unwell') end)", r"@start.*unwell"),
        "memory": ("local t = {} while true do t[#t + 1] = ('x'):rep(10000) .. #t end", r"not enough memory .*setting `memory`"),
        "waits": ("gw.send('echo', {})", r"app\.lua:1: .*waits"),
        "state": ("gw.state.x = 2 error('after the border')", r"app\.lua:1: after the border"),
        "gone": (None, r"app\.lua: No such file|cannot open .*app\.lua"),
    }

    def test_each_way_leaves_the_old_one(self):
        gateway = Gateway(self)
        good = 'gw.state.x = gw.state.x or 1\ngw.on("agent", function(p) log.info("old " .. p.n .. " " .. gw.state.x) end)'
        self.app(good)
        self.write("gatehouse.lua", 'return { apps = { app = { path = "app.lua", memory = "4MiB" } } }')
        self.run_host(gateway, apps=())
        peer = gateway.peers.get(timeout=LIMIT_S)
        for number, (name, (text, expected)) in enumerate(self.WAYS.items(), 1):
            with self.subTest(name):
                if text is None:
                    (self.folder / "app.lua").unlink()
                else:
                    self.app(text)
                code, out, err = self.reload("app")
                self.assertEqual((code, out), (1, ""))
                self.assertRegex(err, r"^gatehouse reload: app: it was not reloaded, generation 1 goes on: ")
                self.assertRegex(err, expected)
                peer.event("agent", {"n": number})
                self.logged(f"old {number} 1")
                self.assertEqual((self.status()["generation"], self.status()["reloads"]["failed"]), (1, number))
        self.app(good.replace("old", "new"))
        self.assertEqual(self.reload("app")[0], 0)
        peer.event("agent", {"n": 0})
        self.logged("new 0 1")
        self.assert_stops()

    def test_way_back_brings_the_modules_back(self):
        gateway = Gateway(self)
        self.write("lib.lua", 'return function(n) return "old " .. n end')
        self.app('local lib = require("lib") gw.on("agent", function(p) log.info(lib(p.n) .. gw.read_file("text")) end)')
        self.write("text", "!")
        self.run_host(gateway)
        peer = gateway.peers.get(timeout=LIMIT_S)
        self.write("lib.lua", 'return function(n) error("not good") end')
        self.assert_reloaded()
        for number in range(6):
            peer.event("agent", {"n": number})
        self.logged("generation 3 took over from 2, with the files of the generation before that")
        self.assertRegex(self.status()["reloads"]["last_error"],
                         r"^generation 2 was taken back to the files of the one before: 6 of its first 6 handler calls failed; .*not good")
        self.write("text", "?")  # what is read later than the load is what is there
        peer.event("agent", {"n": 7})
        self.logged("old 7?")
        self.assertEqual(self.status()["reloads"]["rollbacks"], 1)
        self.assert_stops()

    def test_generation_that_is_stuck_is_replaced_by_force(self):
        gateway = Gateway(self)
        for name, call in (("execute", 'os.execute("exec sleep 30")'), ("popen", 'io.popen("exec sleep 30"):read("a")')):
            with self.subTest(name):
                self.app(f'gw.on("agent", function(p) log.info("in") {call} end)')
                self.run_host(gateway)
                peer = gateway.peers.get(timeout=LIMIT_S)
                peer.event("agent", {"n": 1})
                self.logged("app: in")
                peer.event("agent", {"n": 2})
                self.app(numbered("new"))
                begun = time.monotonic()
                code, out, err = self.reload("app")
                self.assertEqual((code, err), (0, ""))
                self.assertRegex(out, r"^app: generation 2 took over from 1\n"
                                      r"app: generation 1 did not come back from agent \(app\.lua:1\), so it was replaced by force")
                self.assertGreater(time.monotonic() - begun, 2)
                self.logged("new 2")
                app = self.status()
                self.assertEqual((app["generation"], app["abandoned"], app["inbox"]["count"]), (2, 1, 0))
                self.assertIn("1 thread of replaced generations did not come back", self.gatehouse("status")[1])
                self.end_children()
                self.until(lambda: self.status()["abandoned"] == 0)
                self.assert_stops()


class Watch(ReloadCase):
    def run_watched(self, *arguments, apps=("app.lua",)):
        self.gateway = Gateway(self)
        self.run_host(self.gateway, "--watch", *arguments, apps=apps)
        self.gateway.peers.get(timeout=LIMIT_S)
        self.until(lambda: not self.status()["loading"])

    def said(self, name):
        return f'log.info("this is {name}")\n'

    def test_file_that_is_replaced(self):
        self.app(self.said("one"))
        self.run_watched()
        self.app(self.said("two"))
        self.logged("generation 2 took over")
        self.assert_stops()

    def test_file_that_is_written_in_two_steps(self):
        self.app(self.said("one"))
        self.run_watched()
        path, text = self.folder / "app.lua", self.said("two") + "local function f()\n  return 1\nend\n"
        path.write_text(text[:-8])  # what is there does not compile
        self.logged("it was not reloaded, generation 1 goes on: app.lua:")
        with path.open("a") as file:
            file.write(text[-8:])
        self.logged("took over from 1")
        self.assert_stops()

    def test_module_and_data_file(self):
        self.write("lib.lua", 'return "one"')
        self.write("data.txt", "first")
        self.app('log.info("with " .. require("lib") .. " " .. gw.read_file("data.txt"))')
        self.run_watched()
        self.write("lib.lua", 'return "two"')
        self.logged("with two first")
        self.logged("took over")
        self.write("data.txt", "second")
        self.logged("with two second")
        self.assert_stops()

    def test_module_that_is_not_there_yet(self):
        self.app(self.said("one"))
        self.run_watched()
        self.app('log.info("with " .. require("late"))')
        self.logged("module 'late' not found")
        self.write("late.lua", 'return "it"')
        self.logged("with it")
        self.assert_stops()

    def test_unchanged_content_does_nothing(self):
        text = self.said("one")
        self.app(text)
        self.run_watched()
        for _ in range(3):
            self.app(text)
            with (self.folder / "app.lua").open("r+") as file:
                file.write(text)
            time.sleep(0.1)  # longer than the watch waits for more: these are to be several changes
        self.app(self.said("two"))
        self.assertEqual("".join(self.logged("this is two")).count("this is one"), 1)
        self.logged("generation 2 took over from 1")
        self.assertEqual(self.status()["reloads"]["done"], 1)
        self.assert_stops()

    def test_release_that_is_switched(self):
        self.write("releases/1/app/init.lua", 'log.info("release " .. require("version"))')
        self.write("releases/1/app/version.lua", "return 1")
        self.write("releases/2/app/init.lua", 'log.info("release " .. require("version"))')
        self.write("releases/2/app/version.lua", "return 2")
        current, following = self.folder / "current", self.folder / "next"
        current.symlink_to("releases/1")
        self.run_watched(apps=("current/app",))
        following.symlink_to("releases/2")
        following.rename(current)
        self.logged("release 2")
        self.logged("generation 2 took over from 1")
        self.assert_stops()

    def test_main_chunk_that_hangs_is_tried_once(self):
        self.app(self.said("one"))
        self.run_watched()
        self.app('log.info("hangs") os.execute("exec sleep 60")')
        self.logged("app: hangs")
        begun = time.monotonic()
        lines = self.logged("the main chunk did not come to an end")
        self.app(self.said("two"))
        lines += self.logged("took over from 1")
        self.assertNotIn("app: hangs", "".join(lines))
        self.assertLess(time.monotonic() - begun, 20)
        self.end_children()
        self.assert_stops()


class Folders(ReloadCase):
    def setUp(self):
        super().setUp()
        self.write("apps/a.lua", numbered("a"))
        self.write("apps/b/init.lua", numbered("b"))
        self.gateway = Gateway(self, lambda peer, request: None)
        self.run_host(self.gateway, apps=("apps",))
        self.peer = self.gateway.peers.get(timeout=LIMIT_S)

    def names(self):
        return [app["name"] for app in json.loads(self.gatehouse("status", "--json")[1])["apps"]]

    def test_new_one_runs_and_one_that_is_gone_stops(self):
        self.write("apps/c.lua", 'gw.on("@ready", function() log.info("ready") end)\n' + numbered("c"))
        (self.folder / "apps/a.lua").unlink()
        code, out, err = self.reload()
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(sorted(out.splitlines()), ["a: it was stopped", "b: generation 2 took over from 1", "c: it is new, and runs"])
        self.logged("c: ready")
        self.assertEqual(self.names(), ["b", "c"])
        self.peer.event("agent", {"n": 1})
        lines = "".join(self.logged("c: c 1"))
        self.assertNotIn("a: a 1", lines)
        self.write("apps/a.lua", numbered("again"))
        self.assertIn("a: it is new, and runs", self.reload()[1])
        self.peer.event("agent", {"n": 2})
        self.logged("a: again 2")
        self.assert_stops()

    def test_watch_says_how_to_stop_one_that_is_gone(self):
        self.assert_stops()
        self.run_host(self.gateway, "--watch", apps=("apps",))
        self.gateway.peers.get(timeout=LIMIT_S)
        (self.folder / "apps/a.lua").unlink()
        self.logged("a: if it is to go: gatehouse reload, without a name, stops apps")
        self.assertEqual(sorted(self.names()), ["a", "b"])
        self.assertIn("a: it was stopped", self.reload()[1])
        self.assert_stops()

    def test_new_one_that_does_not_load_is_told(self):
        self.write("apps/c.lua", "error('broken')")
        code, out, err = self.reload()
        self.assertEqual((code, out), (1, ""))
        self.assertRegex(err, r"c: .*apps/c\.lua:1: broken")
        self.assertIn("b: generation 2 took over from 1", err)
        self.assertEqual(self.names(), ["a", "b"])
        self.write("apps/c.lua", numbered("c"))
        self.assertEqual(self.reload()[0], 0)
        self.assertEqual(self.names(), ["a", "b", "c"])
        self.assert_stops()

    def test_folder_that_cannot_be_understood_is_told(self):
        self.write("apps/a/init.lua", numbered("twin"))
        code, _, err = self.reload()
        self.assertEqual(code, 1)
        self.assertIn("those that run stay", err)
        self.logged("two apps are named a")
        self.assertEqual(self.names(), ["a", "b"])
        self.assert_stops()

    @needs_signals
    def test_one_that_still_loads_at_the_stop(self):
        self.write("apps/c.lua", 'log.info("loads") os.execute("exec sleep 15 > /dev/null 2>&1")')
        caller = self.start("reload")
        self.logged("c: loads")
        self.assertIn("c: it did not stop in time and is left behind; it runs the main chunk", self.assert_stops(1))
        _, err = caller.communicate(timeout=LIMIT_S)
        self.assertEqual(caller.returncode, 1)
        self.assertIn("the host has ended", err)

    def test_one_that_has_loaded_during_the_stop(self):
        self.write("apps/a.lua", 'gw.on("@stop", function() log.info("stopping") task.sleep(1.5) end)')
        self.assertEqual(self.reload()[0], 0)
        self.write("apps/c.lua", 'log.info("loads") os.execute("sleep 0.5")')
        caller = self.start("reload")
        self.logged("c: loads")
        self.assert_stops()
        self.assertIn("c: it has loaded, but the host is stopping", caller.communicate(timeout=LIMIT_S)[1])


if __name__ == "__main__":
    main()
