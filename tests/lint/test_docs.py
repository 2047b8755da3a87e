"""The manual page says what the stubs say, and scripts/docs notices when it does not."""
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def docs(root, *arguments):
    return subprocess.run([sys.executable, root / "scripts" / "docs", *arguments], capture_output=True, text=True)


class Docs(unittest.TestCase):
    def test_the_page_is_up_to_date(self):
        result = docs(ROOT, "--check")
        self.assertEqual(result.returncode, 0, result.stderr)

    def changed(self, old, new):
        """What --check answers in a copy where a stub was changed."""
        with tempfile.TemporaryDirectory() as folder:
            copy = pathlib.Path(folder)
            shutil.copytree(ROOT / "lua" / "library", copy / "lua" / "library")
            for name in ("scripts/docs", "docs/lua-api.md"):
                (copy / name).parent.mkdir(exist_ok=True)
                shutil.copy(ROOT / name, copy / name)
            stub = copy / "lua" / "library" / "task.lua"
            text = stub.read_text(encoding="utf-8")
            self.assertIn(old, text)
            stub.write_text(text.replace(old, new, 1), encoding="utf-8")
            return docs(copy, "--check")

    def test_a_changed_stub_is_noticed(self):
        result = self.changed("---Waits.", "---Sleeps.")
        self.assertEqual((result.returncode, "run scripts/docs" in result.stderr), (1, True))

    def test_a_parameter_without_description_is_noticed(self):
        result = self.changed("function task.sleep(seconds) end", "function task.sleep(seconds, how) end")
        self.assertEqual((result.returncode, "task.sleep takes (seconds, how)" in result.stderr), (1, True))

    def test_a_function_without_description_is_noticed(self):
        result = self.changed("function task.sleep(seconds) end", "function task.sleep(seconds) end\n\nfunction task.nap() end")
        self.assertEqual((result.returncode, "task.nap has no description" in result.stderr), (1, True))


if __name__ == "__main__":
    unittest.main()
