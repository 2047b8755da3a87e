-- Reports at nine on weekdays how many runs ended since the last report, also when the machine slept at nine.
-- Settings: cron.

gw.state.ended = gw.state.ended or 0

gw.on("agent", function(payload)
  if payload.stream == "lifecycle" and payload.data.phase == "end" then gw.state.ended = gw.state.ended + 1 end
end)

timer.cron(gw.app.config.cron or "0 9 * * mon-fri", function()
  log.info("runs since the last report", { count = gw.state.ended })
  gw.state.ended = 0
end, { missed = "once" })
