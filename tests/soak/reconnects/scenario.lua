-- A gateway that ends every connection as soon as the app has asked for it, each time in another way.
local EVENTS = 20 -- per connection, numbered

local function starting() sim.next { refuse = "starting", retry_after_ms = 100 } end

local ways = {
  function(peer) peer:close(1012, "service restart") end,
  function(peer) peer:close(1013, "try again later") end,
  function(peer) peer:close(1008, "policy") end,
  function(peer) peer:close(1001, "") end,
  function(peer) peer:drop() end,
  function(peer) peer:garbage() end,
  function(peer) peer:oversized() end,
  function(peer) peer:text("\xff") end,
  function(peer) -- in the middle of a frame
    peer:half()
    sim.emit("half", { text = ("x"):rep(5000) }, peer)
    timer.after(0.01, function() peer:drop() end)
  end,
  function(peer) -- and the next one before it is let in
    sim.next { drop = true }
    peer:drop()
  end,
  function(peer)
    sim.next { close = 1013 }
    peer:close(1000)
  end,
  function(peer)
    sim.next { http = 503, body = "busy" }
    peer:drop()
  end,
  function(peer)
    starting()
    peer:close(1012)
  end,
  function()
    starting()
    sim.shutdown("soak")
  end,
}

local SILENCE = 50 -- every so many connections one goes silent, which takes as long as two ticks

local ended = 0

sim.on("end", function(_, peer)
  ended = ended + 1
  timer.after(0, function()
    if ended % SILENCE == 0 then return peer:silence() end
    ways[ended % #ways + 1](peer)
  end)
  task.sleep(3600) -- this request is one that the end of the connection ends
end)

sim.on("never", function() task.sleep(3600) end)
sim.on("echo", function(params) return params end)

sim.on("@ready", function(peer)
  peer:split(peer.number % 97 == 0)
  for n = 1, EVENTS do sim.emit("soak.numbered", { n = n, of = EVENTS }, peer) end
end)
