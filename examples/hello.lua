-- Prints every event of the gateway by its name.
--
--     gatehouse run examples/hello.lua

gw.on("@ready", function(hello)
  print("connected to", hello.server.version, "protocol", hello.protocol)
end)

gw.on("*", function(payload, event)
  print(event.name, event.seq, json.encode(payload))
end)
