-- Asks for the numbers, once.
gw.once("@ready", function()
  assert(gw.send("number.start", { count = gw.app.config.count, rate = gw.app.config.rate }))
end)
