-- Is reloaded while an agent answers: the first generation has asked, and waits for the end; each one says the events that it handles.

local generation = gw.app.generation
gw.state.seen = gw.state.seen or 0

local function ask()
  local final, err = gw.send("agent", {
    sessionKey = "agent:main:operated",
    message = "COUNT " .. gw.app.config.count,
    idempotencyKey = "operated",
  }, {
    timeout = 120,
    final = true,
    on_accepted = function(payload) log.info("accepted", { run = payload.runId }) end,
  })
  log.info("answered", { generation = generation, status = final and final.status, error = err and tostring(err) })
end

gw.on("@ready", function()
  log.info("ready", { generation = generation })
  assert(gw.send("sessions.subscribe"))
  log.info("subscribed")
  if gw.app.config.count then ask() end
end)

gw.on("agent", function(payload, event)
  gw.state.seen = gw.state.seen + 1
  log.info("agent", {
    generation = generation,
    seen = gw.state.seen,
    seq = event.seq,
    run = payload.runId,
    phase = payload.stream == "lifecycle" and payload.data.phase or nil,
    delta = payload.stream == "assistant" and payload.data.delta or nil,
  })
end)
