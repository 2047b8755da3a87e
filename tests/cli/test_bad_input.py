"""Whatever is wrong: one clear line that says what, where and what to do; the right exit status; nothing on stdout; no secret."""
import http.server
import json
import os
import resource
import socket
import ssl
import threading
import unittest

from harness import Case, main


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Connection(Case):
    """What is at the other end is no gateway. `call` and `run` say the same."""

    def assert_unreachable(self, pattern, url, *options):
        self.assert_fails(1, pattern, "call", "echo", "--url", url, *options)

    def test_url(self):
        for url in ("gateway", "ftp://gateway/", "ws://", "ws://host:99999/", "ws://user:secret@host/"):
            said = self.assert_fails(2, "--url: ", "call", "echo", "--url", url)
            self.assertNotIn("secret", said)
            self.assert_fails(2, "OPENCLAW_GATEWAY_URL: ", "call", "echo", environment={"OPENCLAW_GATEWAY_URL": url})

    def test_nobody_listens(self):
        port = closed_port()
        self.assert_unreachable(rf"127\.0\.0\.1:{port}: connection refused", f"ws://127.0.0.1:{port}/")

    def test_host_is_unknown(self):
        self.assert_unreachable(r"no-such-host\.invalid", "ws://no-such-host.invalid/", "--allow-insecure")

    def test_port_speaks_http_only(self):
        class Quiet(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(404)
                self.end_headers()
                self.wfile.write(b"no gateway here\n")

            def log_message(self, *arguments):
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Quiet)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.assert_unreachable(r"404.*no gateway here", f"ws://127.0.0.1:{server.server_port}/")

    def test_tls_to_a_plain_port(self):
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1024)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        self.assert_unreachable(r"(?i)tls|ssl", f"wss://127.0.0.1:{listener.getsockname()[1]}/")

    def test_certificate_of_nobody(self):
        key, certificate = self.folder / "key.pem", self.folder / "cert.pem"
        status = os.system(f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost "
                           f"-keyout {key} -out {certificate} 2>/dev/null")
        self.assertEqual(status, 0)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                    context.wrap_socket(connection, server_side=True).close()
                except ssl.SSLError:
                    pass
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        self.assert_unreachable("certificate", f"wss://127.0.0.1:{listener.getsockname()[1]}/")

    def test_secret_over_plain_ws_to_a_public_address(self):
        self.assert_fails(1, "--allow-insecure|allow_insecure|wss", "call", "echo", "--url", "ws://192.0.2.1/",
                          environment={"OPENCLAW_GATEWAY_TOKEN": "s3cret"})

    def test_no_gateway_within_the_timeout(self):
        listener = socket.create_server(("127.0.0.1", 0))  # accepts into the backlog and never answers
        self.addCleanup(listener.close)
        self.assert_fails(1, "TIMEOUT", "call", "echo", "--timeout", "0.2", "--url", f"ws://127.0.0.1:{listener.getsockname()[1]}/")

    def test_run_keeps_trying_and_says_so(self):
        self.write("a.lua", "")
        process = self.start("run", "a.lua", "--url", f"ws://127.0.0.1:{closed_port()}/")
        lines = self.lines_until(process.stderr, "next try in")
        self.assertRegex(lines[0], r"INFO  connecting to ws://127\.0\.0\.1:\d+/")
        self.assertEqual(self.stop(process)[0], 0)


class Secrets(Case):
    def test_token_file(self):
        for name, text, mode, said in (("open", "t", 0o644, "chmod 600"), ("empty", "\n", 0o600, "it is empty"),
                                       ("two", "a\nb\n", 0o600, "in one line"), ("long", "x" * 5000, 0o600, "too long")):
            path = self.write(name, text, mode)
            self.assert_fails(1, rf"--token-file: .*{name}.*{said}", "call", "echo", "--token-file", path)
        self.assert_fails(1, "--token-file: .*nosuch cannot be read: No such file", "call", "echo", "--token-file", "nosuch")
        self.assert_fails(1, "GATEHOUSE_TOKEN_FILE: ", "call", "echo", environment={"GATEHOUSE_TOKEN_FILE": "nosuch"})

    def test_key_file_that_others_can_read(self):
        self.assertEqual(self.gatehouse("device")[0], 0)
        (self.folder / "state" / "device.json").chmod(0o644)
        for words in (["device"], ["call", "echo"]):
            self.assert_fails(1, r"device\.json.*0600|chmod 600.*device\.json", *words)

    def test_key_file_that_is_damaged(self):
        self.assertEqual(self.gatehouse("device")[0], 0)
        self.write("state/device.json", "{}", 0o600)
        self.assert_fails(1, r"device\.json", "call", "echo")

    def test_state_folder_that_others_can_read(self):
        (self.folder / "state").mkdir(mode=0o755)
        self.assert_fails(1, "state", "device")

    def test_state_folder_that_cannot_be_made(self):
        self.write("file", "")
        self.assert_fails(1, "file", "device", "--state-dir", "file/state")


class Params(Case):
    def test_params(self):
        self.assert_fails(2, r"no JSON: byte 6: ", "call", "echo", '{"a":}')
        self.assert_fails(2, r"no JSON: byte 1: ", "call", "echo", "")
        self.assert_fails(2, "must be a JSON object", "call", "echo", "[1]")
        self.assert_fails(2, r"no JSON: byte 2: ", "call", "echo", "-", input="{]")


class Apps(Case):
    def test_scripts_that_do_not_load(self):
        self.write("syntax.lua", "local x = 1\nif x then\n")
        self.write("raises.lua", "\n\nerror('boom')\n")
        for script, said in (("syntax.lua", r"syntax\.lua:3: 'end' expected"), ("raises.lua", r"raises\.lua:3: boom"),
                             ("nosuch.lua", r"nosuch\.lua.*No such file")):
            for command in ("run", "check"):
                status, out, err = self.gatehouse(command, script)
                self.assertEqual((status, out), (1, ""))
                self.assertRegex(err.splitlines()[0], said)
                self.assertNotIn("connecting", err)

    def test_hostile_error_message_is_escaped(self):
        self.write("evil.lua", "error('\\27]0;owned\\7')")
        for command in ("run", "check"):
            self.assertNotRegex(self.gatehouse(command, "evil.lua")[2], "[\x1b\x07]")

    def test_two_of_one_name(self):
        self.write("a/watch.lua", "")
        self.write("b/watch/init.lua", "")
        for command in ("run", "check"):
            self.assert_fails(2, r"two apps are named watch: a/watch\.lua and b/watch", command, "a/watch.lua", "b/watch/")

    def test_name(self):
        self.write("a b.lua", "")
        self.assert_fails(2, "gives no name for an app", "run", "a b.lua")
        for path, name in (("x.y.lua", "x.y"), ("dir/init.lua", "dir"), (".", self.folder.name)):
            if path != ".":
                self.write(path, "")
            self.write("init.lua", "")
            status, out, err = self.gatehouse("check", "--json", path)
            self.assertEqual((status, json.loads(out)["name"]), (0, name), err)

    def test_a_second_host_on_the_same_state(self):
        self.write("a.lua", "")
        first = self.start("run", "a.lua", "--url", f"ws://127.0.0.1:{closed_port()}/")
        self.lines_until(first.stderr, "connecting")
        self.assert_fails(1, rf"another gatehouse \(process {first.pid}\).*--state-dir", "run", "a.lua")
        self.assertEqual(self.stop(first)[0], 0)

    def test_files_over_the_limit_of_their_size(self):
        self.write("a.lua", "local big = ('x'):rep(30000)\nlocal file <close> = io.open('big', 'w')\nfile:setvbuf('no')\n"
                            "print(select(2, file:write(big)))\ngw.state.big = big\n")
        host = self.start("run", "a.lua", "--url", f"ws://127.0.0.1:{closed_port()}/",
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000)))
        self.lines_until(host.stderr, "connecting")
        status, _, err = self.stop(host)
        self.assertEqual(status, 1)
        self.assertRegex(err, r"gw\.state is not saved: cannot write .*state\.bin: File too large")


class Configuration(Case):
    def test_files(self):
        for text, said in (("return { ulr = 'x' }", r'gatehouse\.lua: "ulr" is no setting; did you mean "url"\?'),
                           ("return { url = ", r"gatehouse\.lua:1: "),
                           ("\nerror('no')", r"gatehouse\.lua:2: attempt to call a nil value \(global 'error'\)"),
                           ("return 5", r"gatehouse\.lua: it must return a table"),
                           ("while true do end", r"gatehouse\.lua: it does not come to an end"),
                           ("local s = 'x' while true do s = s .. s end", r"gatehouse\.lua: not enough memory"),
                           ("return " + "{" * 1000, r"gatehouse\.lua:.*overflow"),
                           ("return { url = 5 }", r"gatehouse\.lua: url: it must be a text"),
                           ("return { url = 'x' }", r"gatehouse\.lua: url: "),
                           ("return { scopes = 'a' }", r"gatehouse\.lua: scopes: it must be a list"),
                           ("return { allow_insecure = 1 }", r"allow_insecure: it must be true or false"),
                           ("return { token = 's3cret' }", r"a secret does not belong in this file"),
                           ("return { apps = { a = { paht = 'x' } } }", r'apps\.a: "paht" is no setting; did you mean "path"\?'),
                           ("return { apps = { ['a/b'] = {} } }", r'"a/b" is no name for an app'),
                           ("return { apps = { a = { memory = 'lots' } } }", r"apps\.a\.memory: .*64MiB"),
                           ("return { apps = { a = { overflow = 'spil' } } }", r'apps\.a\.overflow: it must be "spill" .* or "backpressure"'),
                           ("return { apps = { a = { overflow_limit = '10kB' } } }", r"apps\.a\.overflow_limit: .*1MiB at least"),
                           ("return { apps = { a = { drop_oldest = 'tick' } } }", r'apps\.a\.drop_oldest: it must be a list, as in { "tick", "presence\.\*" }'),
                           ("return { apps = { a = { overflow_limt = 1 } } }", r'did you mean "overflow_limit"\?'),
                           ("local t = {} t.t = t return { apps = t }", r"nested too deep"),
                           ("return { apps = { a = { config = function() end } } }", r"apps\.a\.config: a function cannot be configured")):
            self.write("gatehouse.lua", text)
            said_line = self.assert_fails(2, said, "call", "echo")
            self.assertNotIn("s3cret", said_line)

    def test_named_file_that_is_not_there(self):
        self.assert_fails(2, r"nosuch\.lua: cannot be read: No such file", "call", "echo", "--config", "nosuch.lua")

    def test_file_that_everybody_can_write(self):
        self.write("gatehouse.lua", "return {}", 0o666)
        self.assert_fails(2, "everybody can write it.*chmod o-w", "call", "echo")

    @unittest.skipUnless(os.geteuid() == 0, "only root can give files away")
    def test_file_that_lies_there_and_belongs_to_somebody_else(self):
        os.chown(self.write("gatehouse.lua", "return { url = 'ws://127.0.0.1:1/' }"), 12345, -1)
        self.assert_fails(2, "belongs to somebody else; if it is meant: --config", "call", "echo")
        self.assert_fails(1, "127.0.0.1:1: ", "call", "echo", "--config", "gatehouse.lua")

    def test_later_sources_win(self):
        port = closed_port()
        self.write("gatehouse.lua", "return { url = 'ws://127.0.0.1:1/' }")
        self.assert_fails(1, "127.0.0.1:1: ", "call", "echo")
        environment = {"OPENCLAW_GATEWAY_URL": "ws://127.0.0.1:2/"}
        self.assert_fails(1, "127.0.0.1:2: ", "call", "echo", environment=environment)
        self.assert_fails(1, f"127.0.0.1:{port}: ", "call", "echo", "--url", f"ws://127.0.0.1:{port}/", environment=environment)

    def test_paths_are_relative_to_the_file(self):
        self.write("conf/apps/a.lua", "assert(gw.app.config.depth == 3)")
        self.write("conf/gatehouse.lua", "return { apps = { first = { path = 'apps/a.lua', config = { depth = 3 }, memory = '16MiB' } } }")
        status, out, err = self.gatehouse("check", "--config", "conf/gatehouse.lua")
        self.assertEqual((status, out), (0, "first: ok: listens to no event\n"), err)
        self.assertEqual(self.gatehouse("check", "--config", "conf/gatehouse.lua", "first")[0], 0)


if __name__ == "__main__":
    main()
