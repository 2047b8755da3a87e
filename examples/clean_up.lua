-- Cleans up when it ends. At a reload newer code goes on with the same file, so that goes at the stop only.

local path = gw.app.data_dir and gw.app.data_dir .. "/events.log"
local out = path and assert(io.open(path, "a"))

gw.on("*", function(_, event)
  if out then out:write(event.name, "\n") end
end)

gw.on("@start", function(start)
  log.info("begun", { generation = start.generation })
end)

-- Nothing can wait here any more; after a reload, gw.state can be read only.
gw.on("@stop", function(stop)
  if out then out:close() end
  if path and stop.reason == "stop" then os.remove(path) end
  log.info("cleaned up", { reason = stop.reason })
end)
