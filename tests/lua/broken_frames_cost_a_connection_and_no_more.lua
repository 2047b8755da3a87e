-- Bytes that are no frame, a frame that is too large, a text that is no UTF-8: the connection is closed with the code that says so, and the
-- next one works. (SIGHUP: so that the test need not wait for the backoff.)

--! SIGHUP: ended 1
--! SIGHUP: ended 2
--! SIGHUP: ended 3
--! scenario
local faults = {
  function(peer) peer:garbage() end,
  function(peer) peer:oversized() end,
  function(peer) peer:text("\xff\xfe") end,
}

sim.on("break", function(params, peer)
  local fault = faults[params.n]
  if fault then fault(peer) end
  return { whole = true }
end)

sim.on("@closed", function(peer, code)
  if faults[peer.number] then print("closed", peer.number, code) end
end)

--! app app
gw.on("@ready", function(hello)
  local answer, err = gw.send("break", { n = hello.connection })
  print("answer", hello.connection, answer and answer.whole or err.code)
end)
gw.on("@closed", function(how) print("ended " .. gw.info().connection, how.reason:match("the server .*")) end)

--! expect sim
--> closed	1	1002
--> closed	2	1009
--> closed	3	1007

--! expect app
--> ended 1	the server set reserved bits of a frame, but no extension was agreed on
--> answer	1	DISCONNECTED
--> ended 2	the server sent a message larger than the limit
--> answer	2	DISCONNECTED
--> ended 3	the server sent a text that is not UTF-8
--> answer	3	DISCONNECTED
--> answer	4	true
