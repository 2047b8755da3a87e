-- Asks for the health of the gateway every so many seconds, and tells when it changes.
-- Settings: seconds.

local last

timer.every(gw.app.config.seconds or 30, function()
  local health, err = gw.send("health", {}, { timeout = 10 })
  local now = health and (health.ok and "well" or "unwell") or err.code
  if now ~= last then log.info("gateway", { health = now, before = last }) end
  last = now
end)
