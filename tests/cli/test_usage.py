"""The command line itself: help, unknown words, exit statuses, and that help, completions and manual tell of the same options."""
import pathlib
import re

from harness import Case, main

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


class Usage(Case):
    def commands(self):
        status, out, err = self.gatehouse("--help")
        self.assertEqual((status, err), (0, ""))
        return re.findall(r"^  ([a-z]+) +\S", out.split("Commands:")[1].split("Options:")[0], re.M)

    def options(self, command):
        status, out, err = self.gatehouse(command, "--help")
        self.assertEqual((status, err), (0, ""), command)
        self.assertIn(f"Usage: gatehouse {command}", out)
        return re.findall(r"^  --([a-z-]+)", out, re.M)

    def test_every_command_has_help(self):
        self.assertLessEqual({"run", "call", "tail", "check", "device"}, set(self.commands()))
        for command in self.commands():
            self.assertIn("help", self.options(command))
            self.assertEqual(self.gatehouse("help", command)[1], self.gatehouse(command, "--help")[1])
            self.assertEqual(self.gatehouse(command, "-h")[1], self.gatehouse(command, "--help")[1])

    def test_help_fits_a_terminal(self):
        for words in ([], *([command] for command in self.commands())):
            for line in self.gatehouse(*words, "--help")[1].splitlines():
                self.assertLessEqual(len(line), 80, line)

    def test_completions_and_manual_know_every_command_and_option(self):
        files = ["completions/gatehouse.bash", "completions/_gatehouse", "completions/gatehouse.fish", "man/gatehouse.1"]
        for file in files:
            text = (ROOT / file).read_text().replace("\\-", "-")
            for command in self.commands():
                self.assertRegex(text, rf"\b{command}\b", f"{file}: {command}")
                for option in self.options(command):
                    self.assertTrue(re.search(rf"(--|-l ){option}\b", text), f"{file}: {command} --{option}")

    def test_version(self):
        self.assertRegex(self.gatehouse("--version")[1], r"^gatehouse \d+\.\d+\.\d+\n$")

    def test_nothing_said_is_a_usage_error(self):
        status, out, err = self.gatehouse()
        self.assertEqual((status, out), (2, ""))
        self.assertIn("Usage: gatehouse COMMAND", err)

    def test_unknown_words_name_the_nearest(self):
        self.assert_fails(2, r'there is no command rnu; did you mean "run"\?', "rnu")
        self.assert_fails(2, r"there is no option --ulr; did you mean --url\?", "call", "echo", "--ulr", "x")
        self.assert_fails(2, r"there is no option --colour \(see", "run", "--colour", "x")
        self.assert_fails(2, r"there is no option -x \(see", "run", "-x")
        self.assert_fails(2, r"there is no option --frobnicate ", "--frobnicate")

    def test_values(self):
        self.assert_fails(2, "--url wants a value: --url URL", "call", "echo", "--url")
        self.assert_fails(2, "--final takes no value", "call", "echo", "--final=yes")
        self.assert_fails(2, 'seconds up to a day, not "soon"', "call", "echo", "--timeout", "soon")
        self.assert_fails(2, 'seconds up to a day, not "nan"', "call", "echo", "--timeout", "nan")
        self.assert_fails(2, "--log-level: it must be debug, info, warn or error", "run", "--log-level", "loud", "x.lua")
        self.assert_fails(2, "a number from 1", "tail", "--count", "0")
        for wrong in ("", "a*b", "**", "@ready"):
            self.assert_fails(2, "is no event of a gateway", "tail", "agent", wrong)

    def test_arguments(self):
        self.assert_fails(2, "name a method", "call")
        self.assert_fails(2, "not \"{}\" as well", "call", "echo", "{}", "{}")
        self.assert_fails(2, "name an app", "run")
        self.assert_fails(2, "takes no argument", "device", "x")

    def test_no_secret_as_an_option(self):
        for option in ("--token", "--password"):
            for words in ((option, "s3cret"), (f"{option}=s3cret",)):
                said = self.assert_fails(2, f"there is no option {option}[; ]", "call", "echo", *words)
                self.assertNotIn("s3cret", said)

    def test_output_that_cannot_be_written_is_a_failure(self):
        with open("/dev/full", "w") as full:
            process = self.start("--help", stdout=full)
            self.assertEqual(process.wait(timeout=60), 1)


if __name__ == "__main__":
    main()
