"""scripts/check-layers finds what it promises to find: each rule is broken once in a small tree of its own."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "check-layers"

CLEAN = {
    "src/main.c": '#include "cli/cli.h"\nint main(void) { return 0; }\n',
    "src/cli/cli.h": '#include "host/host.h"\n',
    "src/host/host.h": '#include "sim/sim.h"\n',
    "src/sim/sim.h": '#include "api/api.h"\n#include "net/loop.h"\n',
    "src/net/loop.h": '#include <libwebsockets.h>\n#include "app/app.h"\n',
    "src/api/api.h": '#include <lua.h>\n#include "app/app.h"\n',
    "src/api/sqlite.c": "#include <sqlite3.h>\n",
    "src/app/app.h": '#include <lauxlib.h>\n#include "protocol/slice.h"\n',
    "src/protocol/slice.h": '#include <string.h>\n#include "protocol/utf8.h"\n'
    '/* open() and time() in a comment, "read(" in a string */\n'
    'static const char *text = "write(1)"; void slice_read(void); int link_open(int);\n'
    "void f(struct link *link) { link->send(1); }\n",
    "src/protocol/utf8.h": "",
}


def check(changes):
    """Runs the script over the clean tree with the changes applied; returns its exit status and what it printed."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in {**CLEAN, **changes}.items():
            path = pathlib.Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        done = subprocess.run([sys.executable, SCRIPT, folder], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr


class CheckLayers(unittest.TestCase):
    def refused(self, name, text, *expected):
        status, output = check({name: text})
        self.assertEqual(status, 1, output)
        for part in (name + ":", *expected):
            self.assertIn(part, output)
        self.assertEqual(len(output.splitlines()), 1, output)

    def test_clean_tree_passes_silently(self):
        self.assertEqual(check({}), (0, ""))

    def test_arrows_point_down(self):
        self.refused("src/protocol/a.c", '#include "app/app.h"\n', ":1:", "app/ is not below it")
        self.refused("src/app/a.c", '\n#include "api/api.h"\n', ":2:", "api/ is not below it")
        self.refused("src/app/a.c", '#include "net/loop.h"\n', "net/ is not below it")
        self.refused("src/net/a.c", '#include "api/api.h"\n', "api/ is not below it")
        self.refused("src/api/a.c", '#include "net/loop.h"\n', "net/ is not below it")
        self.refused("src/sim/a.c", '#  include "host/host.h"\n', "host/ is not below it")
        self.refused("src/host/a.c", '#include "cli/cli.h"\n', "cli/ is not below it")

    def test_libraries_stay_in_their_folder(self):
        self.refused("src/sim/a.c", "#include <libwebsockets.h>\n", "src/net/")
        self.refused("src/host/a.c", "#include <lua.h>\n", "src/api/ and src/app/")
        self.refused("src/net/a.c", "#include <lua5.4/lauxlib.h>\n", "src/api/ and src/app/")
        self.refused("src/api/gw.c", "#include <sqlite3.h>\n", "src/api/sqlite")

    def test_protocol_is_pure(self):
        for header in ("pthread.h", "sys/socket.h", "time.h", "unistd.h", "fcntl.h", "openssl/rand.h"):
            self.refused("src/protocol/a.c", f"#include <{header}>\n", header)
        for call in ("time(NULL)", "clock_gettime (1, 0)", "open(0)", "pthread_create()", "RAND_bytes(0, 1)",
                     "printf(0)", "getenv(0)", "socket(0)"):
            self.refused("src/protocol/a.c", f"/* a\n */ int f(void) {{ return {call}; }}\n", ":2:", call.split("(")[0].strip())
        self.refused("src/protocol/a.c", "_Thread_local int a;\n", "_Thread_local")

    def test_headers_are_named_with_their_folder(self):
        self.refused("src/app/a.c", '#include "app.h"\n', "folder/name.h")
        self.refused("src/app/a.c", '#include "../protocol/slice.h"\n', "folder/name.h")

    def test_sources_belong_to_a_layer(self):
        self.refused("src/other.c", "", "main.c only")
        self.refused("src/util/a.c", "", "not a layer")

    def test_length(self):
        status, output = check({"src/app/long.c": "\n" * 501})
        self.assertEqual(status, 0)
        self.assertIn("src/app/long.c:501: warning", output)
        self.refused("src/app/long.c", "\n" * 801, "801 lines")
        self.refused("lua/long.lua", "\n" * 801, "801 lines")

    def test_an_empty_tree_is_no_success(self):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([sys.executable, SCRIPT, folder], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 1)


if __name__ == "__main__":
    unittest.main()
