-- Nothing stays whole for long: every two seconds the next fault hits all clients that are connected. An app that
-- survives this for an hour is ready for a real gateway.
--
--     gatehouse sim examples/scenarios/flaky.lua
local faults = {
  { "a gap of three events", function(peer) peer:gap(3) end },
  { "an event twice", function(peer) peer:duplicate(1) end },
  { "the connection is gone", function(peer) peer:drop() end },
  { "half a frame, then silence", function(peer) peer:half() end },
  { "bytes that are no frame", function(peer) peer:garbage() end },
  { "a frame of a tebibyte announced", function(peer) peer:oversized() end },
  { "close 1008", function(peer) peer:close(1008, "policy") end },
  { "close 1013", function(peer) peer:close(1013, "try again later") end },
  { "everything byte by byte", function(peer) peer:split() end },
}

local turn = 0

timer.every(2, function()
  local peers = sim.peers()
  if #peers == 0 then return end
  turn = turn % #faults + 1
  local name, fault = table.unpack(faults[turn])
  log.info("fault: " .. name)
  for _, peer in ipairs(peers) do fault(peer) end
  sim.tick() -- so that faults of the next frame show
end)
