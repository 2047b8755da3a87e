#!/usr/bin/env python3
"""Every example does what it says: all of them in one host, on a simulated gateway where a run fails and another one succeeds."""
import json
import pathlib
import re

from harness import Case, main

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent.parent / "examples"
TOKEN = "token-of-the-examples"

SCENARIO = """
sim.on("@ready", function()
  timer.after(0, function()
    sim.run("main", "FAIL out of tokens")
    sim.run("main", "hello")
  end)
end)
"""

# A line of each that shows it at work; a daily report can only be loaded.
SAYS = {
    "ask_agent": "answered",
    "clean_up": "begun",
    "count_failures": "failure",
    "daily_report": None,
    "hello": "agent\t",
    "order_by_session": "final",
    "poll_status": "gateway",
    "reload_safe": "an answer",
    "retry": "sent",
    "snapshot": "snapshot",
    "watch_failures": "a run failed",
}

VERSION_1 = """
gw.on_migrate(1, function(state) state.answers = { ["agent:other:main"] = 7 } end)
"""

SETTINGS = "return { apps = { poll_status = { config = { seconds = 0.1 } } } }"


class Examples(Case):
    def test_each_loads(self):
        self.assertEqual(sorted(path.stem for path in EXAMPLES.glob("*.lua")), sorted(SAYS), "an example without a test")
        for name in SAYS:
            status, _, err = self.gatehouse("check", EXAMPLES / f"{name}.lua")
            self.assertEqual(status, 0, err)

    def run_at_a_sim(self, *apps):
        sim = self.start("sim", self.write("scenario.lua", SCENARIO), "--listen", "127.0.0.1:0", "--token", TOKEN)
        url = re.search(r"ws://\S+/", self.lines_until(sim.stderr, "simulated gateway at")[-1])[0]
        return self.start("run", *apps, "--log-format", "json", environment={"OPENCLAW_GATEWAY_URL": url, "OPENCLAW_GATEWAY_TOKEN": TOKEN})

    def test_each_works(self):
        self.write("gatehouse.lua", SETTINGS)
        host = self.run_at_a_sim(*(EXAMPLES / f"{name}.lua" for name in SAYS))
        waiting = {name: text for name, text in SAYS.items() if text}
        for line in host.stderr:
            entry = json.loads(line)
            self.assertNotEqual(entry["level"], "error", line)
            if entry["message"].startswith(waiting.get(entry.get("app"), "\0")):
                del waiting[entry["app"]]
            if not waiting:
                break
        self.assertEqual(waiting, {}, "these did not say what they should")
        self.assertEqual(self.stop(host)[0], 0)

    def test_reload_safe_takes_the_state_of_version_1_along(self):
        app = self.write("counter.lua", VERSION_1)
        host = self.run_at_a_sim(app)
        self.lines_until(host.stderr, '"ready: ')
        app.write_text((EXAMPLES / "reload_safe.lua").read_text())
        self.assertEqual(self.gatehouse("reload", "counter")[0], 0)
        self.assertEqual(self.gatehouse("eval", "counter", "gw.state.answers['agent:other:main']")[1], '{"count":7}\n')
        self.assertEqual(self.stop(host)[0], 0)

    def test_clean_up_tells_a_reload_from_the_stop(self):
        host = self.run_at_a_sim(EXAMPLES / "clean_up.lua")
        file = self.folder / "state/apps/clean_up/events.log"
        self.lines_until(host.stderr, '"begun"')
        self.assertEqual(self.gatehouse("reload", "clean_up")[0], 0)
        self.lines_until(host.stderr, '"reason":"reload"')
        self.assertTrue(file.exists())
        status, _, err = self.stop(host)
        self.assertEqual(status, 0)
        self.assertIn('"reason":"stop"', err)
        self.assertFalse(file.exists())

    def test_each_scenario_is_a_gateway(self):
        for path in sorted(EXAMPLES.glob("scenarios/*.lua")):
            process = self.start("sim", path, "--listen", "127.0.0.1:0", "--token", TOKEN)
            self.lines_until(process.stderr, "simulated gateway at")
            self.assertEqual(self.stop(process)[0], 0, path)


if __name__ == "__main__":
    main()
