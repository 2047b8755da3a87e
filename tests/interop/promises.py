"""What Gatehouse promises at a real gateway. Each function is a test, named after the promise that it keeps.

They run in this order, on one gateway per version, which each of them finds ready and may stop or kill. Every machine()
is a device that the gateway has not seen before.
"""

import json
import os
import re
import signal
import stat

from children import Failure
from gateway import reverse_proxy
from provider import counted

# For slow machines with other things to do; on two idle cores, an agent run takes up to 14 s, the rest milliseconds.
READY_S = 60
RUN_S = 120
# From a gateway that is ready to being connected to it: the backoff goes up to 30 s, the wait for an approval is as long.
RECONNECT_S = 120


def expect_equal(came, expected, what):
    if came != expected:
        raise Failure(f"{what}: expected {expected!r}, came {came!r}")


def expect_in(part, text, what):
    if part not in text:
        raise Failure(f"{what}: expected to find {part!r} in {text!r}")


def say(machine, session, order):
    """Has the agent answer in a session of its own; returns the run's id. The answer comes as events."""
    parameters = {"sessionKey": f"agent:main:{session}", "message": order, "idempotencyKey": f"run-{session}"}
    return machine.result("chat.send", parameters, options=["--timeout", str(READY_S)])["runId"]


def a_fresh_device_needs_url_and_token_only(world):
    answer = world.machine().call("agents.list")
    expect_equal(answer.status, 0, f"exit status (stderr: {answer.err})")
    expect_equal(json.loads(answer.out)["agents"][0]["id"], "main", "the first agent")


def the_device_key_is_private_and_stays(world):
    machine = world.machine()
    paired_before = world.gateway.devices()
    device = _device_id(machine)
    machine.result("agents.list")
    machine.result("agents.list")
    expect_equal(_unlike(machine.state, 0o700, 0o600), [], "what others could read in the state folder")
    expect_equal(_device_id(machine), device, "the device after two calls")
    expect_equal(world.gateway.devices() - paired_before, {device}, "the devices that the gateway paired meanwhile")


def _device_id(machine):
    answer = machine.ask("device", "--json")
    expect_equal(answer.status, 0, f"exit status of gatehouse device (stderr: {answer.err})")
    return json.loads(answer.out)["id"]


def _unlike(root, folder_mode, file_mode):
    found = []
    for folder, _, files in os.walk(root):
        found += [(folder, folder_mode)] + [(os.path.join(folder, name), file_mode) for name in files]
    if len(found) < 2:
        raise Failure(f"expected an identity under {root}, found {found}")
    return [path for path, mode in found if stat.S_IMODE(os.stat(path).st_mode) != mode]


def the_gateways_error_goes_to_stderr_with_status_1(world):
    answer = world.machine().call("no.such.method")
    expect_equal((answer.status, answer.out), (1, ""), "exit status and stdout")
    expect_in("no.such.method", answer.err, "stderr")


def a_missing_scope_is_named_with_the_setting_that_grants_it(world):
    answer = world.machine().call("device.pair.list", {})
    expect_equal((answer.status, answer.out), (1, ""), "exit status and stdout")
    expect_in("operator.pairing", answer.err, "stderr")
    expect_in("scopes", answer.err, "stderr")


def the_scopes_that_are_configured_are_those_that_are_granted(world):
    # A device of its own: protocol 3 does not let one that is paired have other scopes without an approval.
    machine = world.machine()
    config = os.path.join(machine.folder, "scopes.lua")
    with open(config, "w") as file:
        file.write('return { scopes = { "operator.read", "operator.pairing" } }\n')
    machine.result("device.pair.list", {}, options=["--config", config])
    answer = machine.call("sessions.create", {}, options=["--config", config])
    expect_equal((answer.status, answer.out), (1, ""), "exit status and stdout without operator.write")
    expect_in("operator.write", answer.err, "stderr")


def a_wrong_token_is_told_in_one_line(world):
    answer = world.machine(token="not-the-token").call("agents.list")
    expect_equal((answer.status, answer.out), (1, ""), "exit status and stdout")
    expect_equal(len(answer.err.splitlines()), 1, f"lines on stderr ({answer.err!r})")
    expect_in("token", answer.err, "stderr")
    if "not-the-token" in answer.err:
        raise Failure(f"stderr shows the token: {answer.err!r}")


def run_says_what_it_is_doing(world):
    machine = world.machine()
    app = os.path.join(os.path.dirname(os.path.abspath(__file__)), "apps", "watch.lua")
    run = machine.start("run", app)
    ready = f"ready: protocol {world.gateway.protocol}"
    run.wait_for(lambda: any(ready in line for line in run.err), READY_S, f'a line with "{ready}" on stderr')
    expect_in(f"connecting to {world.gateway.url}", "\n".join(run.err), "stderr")
    run.signal(signal.SIGINT)
    expect_equal(run.wait(15), 0, "exit status after SIGINT")


def an_agent_runs_events_reach_the_handler_in_order(world):
    machine = world.machine()
    watch = machine.run("watch")
    ready = watch.wait_for_said(READY_S, "ready")
    expect_equal((ready["protocol"], ready["version"]), (world.gateway.protocol, world.gateway.version), "gw.info()")
    watch.wait_for_said(READY_S, "subscribed", ok=True)
    run = say(machine, "in-order", "COUNT 20")
    final = watch.wait_for_said(RUN_S, "chat", run=run, state="final")
    watch.wait_for_said(READY_S, "agent", run=run, stream="lifecycle", phase="end")
    watch.stop()

    expect_equal(final["text"], counted(20), "the final text")
    agent = watch.said("agent", run=run)
    run_seqs = [event["run_seq"] for event in agent]
    expect_equal(run_seqs, sorted(set(run_seqs)), "the run's own numbers, as the handler saw them")
    deltas = "".join(event["delta"] for event in agent if event.get("delta"))
    expect_equal(deltas, counted(20), "the assistant's deltas put together")
    # Two handlers each have their order; together they got each event once.
    for name in ("agent", "chat"):
        seqs = [event["seq"] for event in watch.said(name)]
        expect_equal(seqs, sorted(set(seqs)), f"the connection's numbers of {name} events")
    both = [event["seq"] for name in ("agent", "chat") for event in watch.said(name)]
    expect_equal(len(both), len(set(both)), "events seen, and events seen once")


def both_answers_of_a_two_response_method_reach_the_app(world):
    ask = world.machine().run("ask", '{ session = "agent:main:two-answers", count = 3 }')
    answered = ask.wait_for_said(RUN_S, "answered")
    accepted = ask.said("accepted")
    expect_equal([event["status"] for event in accepted], ["accepted"], "what on_accepted saw")
    expect_equal(answered["status"], "ok", "the final status")
    expect_equal(answered["run"], accepted[0]["run"], "the run of the final answer")
    expect_equal(answered["text"], counted(3), "the text of the final answer")
    ask.stop()


def the_first_event_after_the_handshake_reaches_a_handler(world):
    # The gateway is made to talk, so that events follow the handshake at once, and the app asks for nothing.
    talker = world.machine()
    watch = talker.run("watch")
    watch.wait_for_said(READY_S, "ready")
    run = say(talker, "talk", "COUNT 150")
    watch.wait_for_said(RUN_S, "agent", run=run, stream="assistant")

    app = world.machine().run("first_event")
    app.wait_for(lambda: _from_gateway(app), READY_S, "an event of the gateway")
    # Numbers begin at 1 with each connection.
    expect_equal(_from_gateway(app)[0]["seq"], 1, "the number of the first event that a handler saw")
    expect_equal(app.said("event")[0]["name"], "@ready", "what a handler saw before anything else")
    app.stop()
    talker.result("chat.abort", {"sessionKey": "agent:main:talk", "runId": run})
    watch.stop()


def _from_gateway(app):
    return [event for event in app.said("event") if not event["name"].startswith("@")]


def tail_prints_events_as_json_lines(world):
    machine = world.machine()
    tail = machine.start("tail", "agent", "chat")
    tail.wait_for(lambda: any("ready" in line for line in tail.err), READY_S, "that it is ready, on stderr")
    run = say(machine, "tail", 'SAY "seen by tail"')

    def final():
        events = [json.loads(line) for line in list(tail.out)]
        return [event for event in events if _is_final(event, run)]

    message = tail.wait_for(final, RUN_S, "the final chat event of the run")[0]["payload"]["message"]
    expect_equal(message["content"][0]["text"], "seen by tail", "the text")
    tail.signal(signal.SIGINT)
    expect_equal(tail.wait(15), 0, "exit status after SIGINT")
    names = {json.loads(line)["event"] for line in tail.out}
    expect_equal(names, {"agent", "chat"}, "the events that it printed")


def _is_final(event, run):
    return event["event"] == "chat" and event["payload"]["runId"] == run and event["payload"]["state"] == "final"


def an_unpaired_device_is_told_how_to_be_approved_and_goes_on(world):
    with reverse_proxy(world.gateway) as url:
        machine = world.machine(url=url)
        answer = machine.call("agents.list")
        expect_equal((answer.status, answer.out), (1, ""), "exit status and stdout of a call")
        request = _request_to_approve(answer.err)

        watch = machine.run("watch")
        paused = watch.wait_for_said(READY_S, "paused")
        expect_equal(paused["code"], "PAIRING_REQUIRED", "the code of @paused")
        expect_equal(_request_to_approve(paused["hint"]), request, "the request named by the hint of @paused")
        expect_equal(_request_to_approve("\n".join(watch.err)), request, "the request named on stderr")
        world.gateway.approve(request)
        watch.wait_for_said(RECONNECT_S, "ready")
        watch.wait_for_said(READY_S, "subscribed", ok=True)
        watch.stop()
        machine.result("agents.list")


def _request_to_approve(text):
    found = re.search(r"openclaw devices approve ([0-9a-f-]{36})", text)
    if not found:
        raise Failure(f"expected the command that approves the device, came {text!r}")
    return found[1]


def a_gateway_that_is_restarted_is_found_again(world):
    _survives(world, "restart", world.gateway.stop, 1012)


def a_gateway_that_is_killed_is_found_again(world):
    _survives(world, "kill", world.gateway.kill, 1006)


def _survives(world, name, leave, close_code):
    """The gateway goes and comes back; app and tail go on, and each event is handled once."""
    machine = world.machine()
    watch = machine.run("watch")
    tail = machine.start("tail", "chat")
    watch.wait_for_said(READY_S, "subscribed", ok=True, connection=1)
    tail.wait_for(lambda: any("ready" in line for line in tail.err), READY_S, "that it is ready, on stderr")
    before = say(machine, name + "-before", 'SAY "before"')
    watch.wait_for_said(RUN_S, "chat", run=before, state="final", connection=1)

    leave()
    expect_equal(watch.wait_for_said(READY_S, "closed")["code"], close_code, "the code of @closed")
    world.gateway.start()
    watch.wait_for_said(RECONNECT_S, "subscribed", ok=True, connection=2)
    tail.wait_for(lambda: sum("ready" in line for line in tail.err) > 1, RECONNECT_S, "that it is ready again")

    after = say(machine, name + "-after", 'SAY "after"')
    watch.wait_for_said(RUN_S, "chat", run=after, state="final", connection=2)
    watch.wait_for_said(READY_S, "agent", run=after, stream="lifecycle", phase="end")
    tail.wait_for(lambda: any(_is_final(json.loads(line), after) for line in list(tail.out)), READY_S, "the last event")
    watch.stop()
    tail.signal(signal.SIGTERM)
    expect_equal(tail.wait(15), 0, "exit status of tail after SIGTERM")

    for run in (before, after):
        expect_equal(len(watch.said("chat", run=run, state="final")), 1, "how often the end of a run was handled")
    for kind in ("agent", "chat"):
        seen = [(event["connection"], event["seq"]) for event in watch.said(kind)]
        expect_equal(seen, sorted(set(seen)), f"{kind} events, by connection and number")
    finals = [line for line in tail.out if _is_final(json.loads(line), after)]
    expect_equal(len(finals), 1, "how often tail printed the end of the last run")


def a_request_that_dies_with_the_gateway_is_answered(world):
    ask = world.machine().run("ask", '{ session = "agent:main:dies", count = 500 }')
    ask.wait_for_said(RUN_S, "accepted")
    world.gateway.kill()
    refused = ask.wait_for_said(READY_S, "refused")
    expect_equal((refused["code"], refused["sent"]), ("DISCONNECTED", True), "code and sent of the error")
    world.gateway.start()
    ask.wait_for_said(RECONNECT_S, "ready", connection=2)
    ask.stop()


def the_token_is_in_no_output(world):
    for path in world.outputs():
        with open(path, encoding="utf-8", errors="replace") as file:
            if world.gateway.token in file.read():
                raise Failure(f"the token is in {path}")


PROMISES = [
    a_fresh_device_needs_url_and_token_only,
    the_device_key_is_private_and_stays,
    the_gateways_error_goes_to_stderr_with_status_1,
    a_missing_scope_is_named_with_the_setting_that_grants_it,
    the_scopes_that_are_configured_are_those_that_are_granted,
    a_wrong_token_is_told_in_one_line,
    run_says_what_it_is_doing,
    an_agent_runs_events_reach_the_handler_in_order,
    both_answers_of_a_two_response_method_reach_the_app,
    the_first_event_after_the_handshake_reaches_a_handler,
    tail_prints_events_as_json_lines,
    an_unpaired_device_is_told_how_to_be_approved_and_goes_on,
    a_gateway_that_is_restarted_is_found_again,
    a_gateway_that_is_killed_is_found_again,
    a_request_that_dies_with_the_gateway_is_answered,
]
LAST = [the_token_is_in_no_output]  # looks at what the others printed
