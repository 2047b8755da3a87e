-- Has an agent count, once, and waits for both of its answers. The configuration says how far.

local config = gw.app.config

gw.once("@ready", function()
  local final, err = gw.send("agent", {
    sessionKey = config.session,
    message = "COUNT " .. config.count,
    idempotencyKey = config.session,
  }, {
    timeout = 120,
    final = true,
    on_accepted = function(payload)
      log.info("accepted", { status = payload.status, run = payload.runId })
    end,
  })
  if final then
    log.info("answered", { status = final.status, run = final.runId, text = final.result.payloads[1].text })
  else
    log.info("refused", { code = err.code, sent = err.sent })
  end
end)

gw.on("@ready", function(_, event)
  log.info("ready", { connection = event.connection })
end)
