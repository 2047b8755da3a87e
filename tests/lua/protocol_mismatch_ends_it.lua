-- Which versions there are is said; trying again would change nothing.

--! exit: 1
--! ends: by itself
--! allow-errors
--! scenario
sim.next {
  refuse = {
    code = "INVALID_REQUEST",
    message = "protocol mismatch",
    details = { code = "PROTOCOL_MISMATCH", clientMinProtocol = 3, clientMaxProtocol = 4, expectedProtocol = 9 },
  },
  close = 1002,
}

--! app app
gw.on("@paused", function(why) print(why.code, why.retry_ms) end)

--! log: "error".*PROTOCOL_MISMATCH.*the gateway speaks protocol 9, this program 3 to 4
--! expect app
--> PROTOCOL_MISMATCH	nil
