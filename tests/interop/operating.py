"""What Gatehouse promises to the operator of a host that runs at a real gateway. Like promises.py, and after it."""

import json
import os
import re
import signal

from children import Failure, wait_until
from promises import READY_S, RUN_S, expect_equal, expect_in, say
from provider import counted
from screen import Screen

SCOPES = ["operator.read", "operator.write"]
COUNT = 25  # five seconds of events, in which a reload has room; half of the grace time, which a slow machine keeps to


def _run(machine, *options, **settings):
    """Runs a copy of the app that may be edited; returns the running host and the copy's path."""
    run = machine.run("operated", copied=True, options=options, **settings)
    run.wait_for_said(READY_S, "subscribed")
    return run, os.path.join(machine.folder, "operated.lua")


def _add(path, text):
    with open(path, "a", encoding="utf-8") as file:
        file.write(text)


def _without(path, text):
    with open(path, encoding="utf-8") as file:
        content = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(content.replace(text, ""))


def _done(machine, *words):
    """What the command printed; it has to succeed, and has nothing to complain about."""
    answer = machine.ask(*words)
    expect_equal((answer.status, answer.err), (0, ""), f"exit status and stderr of {' '.join(words)}")
    return answer.out


def _app_status(machine):
    return json.loads(_done(machine, "status", "--json"))["apps"][0]


def status_and_top_tell_how_the_connection_is(world):
    machine = world.machine()
    run, _ = _run(machine)
    status = json.loads(_done(machine, "status", "--json"))
    connection = status["connection"]
    expect_equal(
        {key: connection[key] for key in ("state", "protocol", "server_version", "scopes", "problem", "gaps")},
        {"state": "ready", "protocol": world.gateway.protocol, "server_version": world.gateway.version,
         "scopes": SCOPES, "problem": None, "gaps": 0},
        "the connection",
    )  # fmt: skip
    if not 0 <= connection["tick_age_ms"] <= 2 * connection["tick_interval_ms"]:
        raise Failure(f"the last tick was {connection['tick_age_ms']} ms ago, of {connection['tick_interval_ms']}")
    expect_equal(connection["requests"]["ok"], 1, "requests that were answered: the subscription")
    expect_equal((status["host"]["pid"], status["apps"][0]["name"]), (run.pid, "operated"), "the process, the app")

    text = _done(machine, "status")
    for pattern in (
        rf"(?m)^host +running for .*: process {run.pid}$",
        rf"(?m)^connection +ready for .*: {re.escape(world.gateway.url)}$",
        rf"(?m)^ +protocol {world.gateway.protocol}, gateway {world.gateway.version}, scopes {' '.join(SCOPES)}$",
        r"(?m)^ +last tick .* ago \(due every 30.0 s\), 0 reconnects, 0 gaps$",
        r"(?m)^operated  generation 1 since .*operated\.lua$",
        r"(?m)^ +@ready \(.*operated\.lua:\d+\)  *1 +0 +[\d.]+ [mu]?s ",
    ):
        if not re.search(pattern, text):
            raise Failure(f"status: expected {pattern!r}, came\n{text}")
    expect_in("\noperated    1 ", _done(machine, "top", "--once"), "top --once")
    run.stop()


def top_fills_the_screen_and_gives_it_back(world):
    machine = world.machine()
    run, _ = _run(machine)
    top = machine.start("top", kind=Screen)
    for _ in range(2):  # the first screen, and the next one by itself
        top.expect(r"protocol \d, gateway .*operated\x1b?.* q quit", READY_S)
    top.type("q")
    top.expect(r"\x1b\[\?25h\x1b\[\?1049l", READY_S)
    expect_equal((top.wait(READY_S), top.is_given_back()), (0, True), "exit status, and the terminal is as before")
    run.stop()


def repl_evaluates_in_the_app_what_waits_too(world):
    machine = world.machine()
    run, _ = _run(machine)
    repl = machine.start("repl", "operated", kind=Screen)
    prompt = r"operated> \Z"
    repl.expect(prompt, READY_S)
    for typed, shown in (
        ("gw.info().state\n", r"\r\nready\r\n"),
        ('gw.send("health").ok\n', r"\r\ntrue\r\n"),
        ('gw.send("no.such.method")\n', r"\r\nnil\t.*no\.such\.method"),
        ("gw.state\n", r'\r\n\{"seen":\d+\}\r\n'),
        ("error('not so')\n", r"eval:1: not so\r\nstack traceback:"),
    ):
        repl.type(typed)
        repl.expect(shown + ".*" + prompt, READY_S)
    repl.type("for i = 1, 2 do\n")
    repl.expect(r"operated>> \Z", READY_S)
    repl.type("log.info('typed', { i = i }) end\n")
    repl.expect(prompt, READY_S)
    run.wait_for_said(READY_S, "typed", i=2)
    repl.type("gw.inf\t().state\n")
    repl.expect(r"\r\nready\r\n.*" + prompt, READY_S)
    # The prompt is there a moment before the editor has the keys; until then ctrl-C is a signal.
    wait_until(repl.is_edited, READY_S, "that the editor has the keys")
    repl.type("half a line\x03")
    repl.expect(r"\^C\r\n.*" + prompt, READY_S)
    repl.type("\x04")
    expect_equal((repl.wait(READY_S), repl.is_given_back()), (0, True), "exit status, and the terminal is as before")
    protocol = _done(machine, "eval", "operated", "gw.info().protocol")
    expect_equal(protocol, str(world.gateway.protocol), "what eval says")
    run.stop()


def tail_of_an_app_prints_what_it_gets(world):
    machine = world.machine()
    run, _ = _run(machine)
    tail = machine.start("tail", "--app", "operated", "agent")
    # It says nothing when it has begun: the host does.
    run.wait_for(lambda: _is_tailed(machine), READY_S, "that the host has a connection on its control socket")
    ran = say(machine, "tail-app", 'SAY "seen by the app"')
    run.wait_for_said(RUN_S, "agent", run=ran, phase="end")

    def lines():
        return [json.loads(line) for line in list(tail.out)]

    tail.wait_for(lambda: any(_ends(event, ran) for event in lines()), READY_S, "the end of the run")
    handled = [event["seq"] for event in run.said("agent")]
    tail.signal(signal.SIGINT)
    expect_equal(tail.wait(15), 0, "exit status after SIGINT")
    expect_equal([event["seq"] for event in lines()][: len(handled)], handled, "the events that the app handled")
    run.stop()


def _is_tailed(machine):
    with open("/proc/net/unix", encoding="utf-8") as file:
        return sum(line.rstrip().endswith(os.path.join(machine.state, "control.sock")) for line in file) > 1


def _ends(event, run):
    payload = event["payload"]
    return payload["runId"] == run and payload["stream"] == "lifecycle" and payload["data"].get("phase") == "end"


def a_reload_that_fails_shows_why_and_changes_nothing(world):
    machine = world.machine()
    run, app = _run(machine)
    broken = "local function check() error('not like this') end\ncheck()\n"
    _add(app, broken)
    answer = machine.ask("reload", "operated")
    expect_equal((answer.status, answer.out), (1, ""), "exit status and stdout")
    for part in ("gatehouse reload: operated: ", "generation 1 goes on", "operated.lua:", ": not like this",
                 "stack traceback:", "'check'", "in main chunk"):  # fmt: skip
        expect_in(part, answer.err, "stderr")
    status = _app_status(machine)
    reloads = status["reloads"]
    expect_equal((status["generation"], reloads["done"], reloads["failed"]), (1, 0, 1), "generation, reloads")
    expect_in("not like this", reloads["last_error"], "why the last reload failed")
    expect_in("last reload: ", machine.ask("status").out, "status")

    after = say(machine, "after-failure", 'SAY "still there"')
    run.wait_for_said(RUN_S, "agent", run=after, phase="end")
    expect_equal({event["generation"] for event in run.said("agent")}, {1}, "the generations that handled events")

    _without(app, broken)
    out = _done(machine, "reload", "operated")
    expect_in(f"generation {_app_status(machine)['generation']} took over from 1", out, "what the reload says")
    expect_equal(_app_status(machine)["reloads"]["last_error"], None, "why the last reload failed")
    run.stop()


def a_reload_while_a_request_waits_loses_neither_answer_nor_event(world):
    machine = world.machine()
    run, _ = _run(machine, config=f"{{ count = {COUNT} }}")
    ran = run.wait_for_said(RUN_S, "accepted")["run"]
    run.wait_for(lambda: _deltas(run, ran), RUN_S, "that the agent begins to answer")
    _done(machine, "reload", "operated")
    second = _app_status(machine)
    expect_equal((second["generation"], second["draining"]), (2, 1), "the generation, and the one that still waits")
    expect_in("generation 1 finishes what it had begun", machine.ask("status").out, "status")

    answered = run.wait_for_said(RUN_S, "answered")
    expect_equal((answered["generation"], answered.get("status")), (1, "ok"), "who was answered, and how")
    run.wait_for_said(RUN_S, "agent", run=ran, phase="end")
    run.stop()
    expect_equal("".join(_deltas(run, ran)), counted(COUNT), "the answer, put together from what both generations got")
    agent = run.said("agent")
    generations = [event["generation"] for event in agent]
    expect_equal(sorted(generations), generations, "the generations that handled the events, in their order")
    expect_equal(set(generations), {1, 2}, "the generations that handled events")
    expect_equal([event["seen"] for event in agent], list(range(1, len(agent) + 1)), "what they counted in gw.state")


def _deltas(run, ran):
    return [event["delta"] for event in run.said("agent", run=ran) if event.get("delta")]


def a_file_that_is_edited_is_reloaded_by_watch(world):
    machine = world.machine()
    run, app = _run(machine, "--watch")
    _add(app, "log.info('edited once')\n")
    run.wait_for_said(READY_S, "edited once")
    run.wait_for(lambda: _logged(run, "took over from 1"), READY_S, "that the new generation took over")
    _add(app, "no Lua\n")
    run.wait_for(lambda: _logged(run, "generation 2 goes on"), READY_S, "that what does not load is said")
    expect_equal(_app_status(machine)["generation"], 2, "the generation")
    _without(app, "no Lua\n")
    _add(app, "log.info('edited twice')\n")
    run.wait_for(lambda: _logged(run, "took over from 2"), READY_S, "that the next generation took over")
    after = say(machine, "after-edit", 'SAY "and on it goes"')
    run.wait_for_said(RUN_S, "agent", run=after, phase="end")
    run.stop()


def _logged(run, words):
    return any(words in line for line in list(run.err))


PROMISES = [
    status_and_top_tell_how_the_connection_is,
    top_fills_the_screen_and_gives_it_back,
    repl_evaluates_in_the_app_what_waits_too,
    tail_of_an_app_prints_what_it_gets,
    a_reload_that_fails_shows_why_and_changes_nothing,
    a_reload_while_a_request_waits_loses_neither_answer_nor_event,
    a_file_that_is_edited_is_reloaded_by_watch,
]
