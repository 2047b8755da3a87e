-- Says every event that it gets, and asks the gateway for nothing: what comes, comes by itself.

local function say(_, event)
  log.info("event", { name = event.name, seq = event.seq, connection = event.connection })
end

gw.on("@ready", say)
gw.on("*", function(payload, event)
  if not event.name:find("^@") then say(payload, event) end
end)
