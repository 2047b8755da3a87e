-- Says what reaches its handlers, in the order in which it does: the connection's ups and downs, and agent runs.

gw.on("@ready", function(_, event)
  local info = gw.info()
  log.info("ready", { connection = event.connection, protocol = info.protocol, version = info.server_version })
  -- Subscriptions end with their connection: this has to work on every new one.
  local answer, err = gw.send("sessions.subscribe")
  log.info("subscribed", { connection = event.connection, ok = answer ~= nil, error = err and tostring(err) })
end)

gw.on("@closed", function(payload)
  log.info("closed", { code = payload.code, reason = payload.reason })
end)

gw.on("@paused", function(payload)
  log.info("paused", { code = payload.code, message = payload.message, hint = payload.hint })
end)

gw.on("agent", function(payload, event)
  log.info("agent", {
    connection = event.connection,
    seq = event.seq,
    run = payload.runId,
    run_seq = payload.seq,
    stream = payload.stream,
    phase = payload.data.phase,
    delta = payload.stream == "assistant" and payload.data.delta or nil,
  })
end)

gw.on("chat", function(payload, event)
  local final = payload.state == "final"
  log.info("chat", {
    connection = event.connection,
    seq = event.seq,
    run = payload.runId,
    state = payload.state,
    text = final and payload.message.content[1].text or nil,
  })
end)
