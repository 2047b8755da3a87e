"""A real OpenClaw gateway on loopback: installed from npm, run on throw-away state."""

import contextlib
import fcntl
import json
import os
import platform
import re
import secrets
import shutil
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.request

from children import MARK, Child, Failure, wait_until

NODE_VERSION = "26.10.0"  # satisfies every gateway tested; comes from npm too, so that no other node is asked for
INSTALL_TRIES = 3
INSTALL_S = 600
READY_S = 180  # 8 to 23 s were seen on two idle cores
STOP_S = 60
# The first gateway version that knows (and wants) the settings of protocol 4.
PROTOCOL_4 = (2026, 5, 12)


class OutOfReach(Exception):
    """The npm registry does not answer: nothing can be said about this version."""


def protocol_of(version):
    return 4 if tuple(int(part) for part in re.findall(r"\d+", version)[:3]) >= PROTOCOL_4 else 3


def cache_folder(version):
    base = os.environ.get("GATEHOUSE_INTEROP_DIR")
    if not base:
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        base = os.path.join(cache, "gatehouse-interop")
    return os.path.join(base, version)


def install(version, say):
    """Installs the gateway and its node into the cache, unless they are there, and returns the folder."""
    folder = cache_folder(version)
    os.makedirs(folder, exist_ok=True)
    complete = os.path.join(folder, ".complete")
    with open(os.path.join(folder, ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(complete):
            return folder
        npm = shutil.which("npm")
        if not npm:
            raise Failure("npm is not there to install a gateway with: run scripts/setup interop")
        # libsignal is a git dependency of old versions: not in the registry, and not needed without channels.
        manifest = {"private": True, "overrides": {"libsignal": "npm:is-number@7.0.0"}}
        with open(os.path.join(folder, "package.json"), "w") as file:
            json.dump(manifest, file)
        machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
        packages = [f"node@npm:node-linux-{machine}@{NODE_VERSION}", f"openclaw@{version}"]
        command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", *packages]
        for attempt in range(1, INSTALL_TRIES + 1):
            say(f"installing openclaw {version} into {folder} (about 800 MB), attempt {attempt} of {INSTALL_TRIES}")
            status, output = _npm(command, folder, INSTALL_S)
            if status == 0:
                open(complete, "w").close()
                return folder
            say(f"the installation failed: {_reason(output)}")
        # It matters why: a registry that answers a simple question is not to blame.
        status, answer = _npm([npm, "view", f"openclaw@{version}", "version"], folder, 60)
        if status == 0 or "E404" in answer:
            raise Failure(f"openclaw {version} cannot be installed, though the registry answers:\n{output}")
        raise OutOfReach(_reason(answer))


def _npm(command, folder, timeout_s):
    # npm tries again too, but by its defaults it takes minutes to give up a registry that is not there.
    patience = {"npm_config_fetch_retry_mintimeout": "1000", "npm_config_fetch_retry_maxtimeout": "5000"}
    try:
        done = subprocess.run(
            command, cwd=folder, env={**os.environ, **patience}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", timeout=timeout_s,
        )  # fmt: skip
        return done.returncode, done.stdout
    except subprocess.TimeoutExpired:
        return -1, f"npm was not done after {timeout_s} s"


def _reason(output):
    """The line of npm's output that tells most."""
    lines = [line.strip() for line in output.splitlines() if line.startswith("npm error")] or output.split("\n")
    return next((line for line in lines if "reason:" in line), lines[0])


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Gateway:
    """One gateway. It can be stopped or killed, and started again on the same port and state."""

    def __init__(self, version, installed, folder, log_folder, provider_port, mark):
        self.version = version
        self.protocol = protocol_of(version)
        self.port = free_port()
        self.token = secrets.token_hex(16)
        self.log_path = os.path.join(log_folder, "gateway.log")
        self._modules = os.path.join(installed, "node_modules")
        self._node = os.path.join(self._modules, "node", "bin", "node")
        self._folder = folder
        self._mark = mark
        self._process = None
        for name in ("home", "state", "workspace", "tmp"):
            os.makedirs(os.path.join(folder, name))
        self._config = os.path.join(folder, "openclaw.json")
        with open(os.open(self._config, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            json.dump(self._settings(provider_port), file, indent=2)

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.port}/"

    def _settings(self, provider_port):
        model = {
            "id": "fake-1", "name": "Fake One", "reasoning": False, "input": ["text"], "contextWindow": 128000,
            "maxTokens": 4096, "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0},
        }  # fmt: skip
        provider = {
            "baseUrl": f"http://127.0.0.1:{provider_port}/v1", "apiKey": "fake", "api": "openai-completions",
            "models": [model],
        }  # fmt: skip
        settings = {
            "gateway": {
                "mode": "local", "port": self.port, "bind": "loopback", "tailscale": {"mode": "off"},
                "auth": {"mode": "token", "token": self.token}, "controlUi": {"enabled": False},
                "trustedProxies": ["127.0.0.1"],
            },
            "agents": {
                "defaults": {
                    "workspace": os.path.join(self._folder, "workspace"), "skipBootstrap": True,
                    "model": {"primary": "fake/fake-1"},
                }
            },
            "models": {"mode": "replace", "providers": {"fake": provider}},
            "discovery": {"mdns": {"mode": "off"}},
            "update": {"checkOnStart": False},
            "logging": {"file": os.path.join(self._folder, "state", "gateway.log")},
        }  # fmt: skip
        if self.protocol == 4:
            settings["models"]["catalogRefresh"] = {"enabled": False}  # unknown before, and an unknown key is refused
        return settings

    def _environment(self):
        """Nothing of the caller's, so that no setting of a gateway that somebody really uses gets in."""
        return {
            "PATH": f"{os.path.dirname(self._node)}:/usr/bin:/bin",
            "HOME": os.path.join(self._folder, "home"),
            "TMPDIR": os.path.join(self._folder, "tmp"),
            "LANG": "C.UTF-8",
            "SHELL": "/bin/sh",
            "NO_COLOR": "1",
            "DO_NOT_TRACK": "1",
            "OPENCLAW_HOME": os.path.join(self._folder, "home"),
            "OPENCLAW_STATE_DIR": os.path.join(self._folder, "state"),
            "OPENCLAW_CONFIG_PATH": self._config,
            "OPENCLAW_DISABLE_BONJOUR": "1",
            "OPENCLAW_EXEC_SHELL_SNAPSHOT": "0",
            "OPENCLAW_NO_RESPAWN": "1",
            "OPENCLAW_SKIP_BROWSER_CONTROL_SERVER": "1",
            "OPENCLAW_SKIP_CANVAS_HOST": "1",
            "OPENCLAW_SKIP_CHANNELS": "1",
            "OPENCLAW_SKIP_GMAIL_WATCHER": "1",
            "OPENCLAW_TELEMETRY_DISABLED": "1",
            MARK: self._mark,
        }

    def _openclaw(self, name, arguments, log_path):
        program = os.path.join(self._modules, "openclaw", "openclaw.mjs")
        return Child(name, [self._node, program, *arguments], log_path, self._environment(), self._folder)

    def start(self):
        """Starts what is not running and returns when the gateway says that it is ready."""
        if not self._process:
            arguments = ["gateway", "run", "--port", str(self.port), "--bind", "loopback"]
            self._process = self._openclaw("the gateway", arguments, self.log_path)
        wait_until(self._ready_or_dead, READY_S, f"the gateway answers 200 at /readyz; see {self.log_path}")

    def _ready_or_dead(self):
        if not self._process.running():
            raise Failure(f"the gateway ended with status {self._process.wait(STOP_S)}; see {self.log_path}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def stop(self):
        """SIGTERM, as a service manager does; returns when it is gone."""
        self._leave(signal.SIGTERM)

    def kill(self):
        """kill -9: the socket ends without a word."""
        self._leave(signal.SIGKILL)

    def _leave(self, number):
        process, self._process = self._process, None
        try:
            process.signal(number)
            process.wait(STOP_S)
        finally:
            process.end()

    def approve(self, request_id):
        """The operator says yes to a device, with the gateway's own command."""
        log_path = os.path.join(os.path.dirname(self.log_path), "approve.log")
        command = self._openclaw("openclaw devices approve", ["devices", "approve", request_id], log_path)
        try:
            status = command.wait(60)
            if status != 0:
                raise Failure(f"openclaw devices approve {request_id} ended with {status}: {command.err}")
        finally:
            command.end()

    def devices(self):
        """The ids of the devices that are paired with this gateway."""
        log_path = os.path.join(os.path.dirname(self.log_path), "devices.log")
        command = self._openclaw("openclaw devices list", ["devices", "list", "--json"], log_path)
        try:
            command.wait(60)
            return {device["deviceId"] for device in json.loads("\n".join(command.out))["paired"]}
        finally:
            command.end()

    def end(self):
        if self._process:
            self._process.end()


@contextlib.contextmanager
def reverse_proxy(gateway):
    """A proxy in front of the gateway, as nginx would be: yields its url.

    It adds X-Forwarded-For, which makes a client one from elsewhere in the gateway's eyes: a device that comes by this
    way has to be approved by the operator, while one on loopback is paired in silence.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_accept, args=(listener, gateway.port), daemon=True).start()
    try:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _accept(listener, port):
    while True:
        try:
            client = listener.accept()[0]
        except OSError:
            return  # closed: the test is over
        threading.Thread(target=_forward, args=(client, port), daemon=True).start()


def _forward(client, port):
    with contextlib.suppress(OSError), client, socket.create_connection(("127.0.0.1", port)) as server:
        head = b""
        while b"\r\n" not in head:
            part = client.recv(65536)
            if not part:
                return
            head += part
        request_line, rest = head.split(b"\r\n", 1)
        server.sendall(request_line + b"\r\nX-Forwarded-For: 203.0.113.7\r\n" + rest)
        back = threading.Thread(target=_copy, args=(server, client), daemon=True)
        back.start()
        _copy(client, server)
        back.join()


def _copy(source, sink):
    with contextlib.suppress(OSError):
        while part := source.recv(65536):
            sink.sendall(part)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
