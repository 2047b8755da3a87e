-- A token that is refused is tried no further, but once the device token that the gateway issued before (the gateway is on loopback).

--! scenario
sim.next {}
sim.next {
  refuse = {
    code = "INVALID_REQUEST",
    message = "unauthorized: gateway token mismatch",
    details = { code = "AUTH_TOKEN_MISMATCH", canRetryWithDeviceToken = true },
  },
}
sim.on("restart", function(_, peer)
  peer:close(1013, "restart")
  return true
end)

--! app app
gw.on("@ready", function(hello)
  print("ready", hello.connection, #hello.scopes)
  if hello.connection == 1 then gw.send("restart") end
end)
gw.on("@closed", function(how) print("closed", how.error and how.error.details.code or how.code) end)

--! expect app
--> ready	1	2
--> closed	1013
--> closed	AUTH_TOKEN_MISMATCH
--> ready	2	2
