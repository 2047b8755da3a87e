-- The simulated gateway: what it is set to, who is connected, what it tells everybody (ticks, presence, health), how it
-- goes down.
local new_peer = require "gatehouse.sim.peer"
local new_world = require "gatehouse.sim.world"
local wire = require "gatehouse.sim.wire"

local HEALTH_S = 60 -- between two health events
local GOODBYE_S = 0.03 -- from the event `shutdown` to the close, as observed

local versions = { [3] = "2026.5.7", [4] = "2026.9.6" }

local Gateway = {}
Gateway.__index = Gateway

-- --- who is connected ----------------------------------------------------------------------------------------------

function Gateway:open(number)
  local peer = new_peer(self, number)
  self.peers[number] = peer
  return peer
end

-- Those that are ready, in the order of their coming.
function Gateway:ready_peers()
  local list = {}
  for _, peer in pairs(self.peers) do
    if peer.state == "ready" then list[#list + 1] = peer end
  end
  table.sort(list, function(a, b) return a.number < b.number end)
  return list
end

-- To all that are ready and that `wants` (may be nil) takes: fn(peer) -> boolean. Returns to how many.
function Gateway:emit(name, payload, wants, state_version)
  local text, count = wire.text_of(payload), 0
  state_version = state_version and wire.text_of(state_version)
  for _, peer in ipairs(self:ready_peers()) do
    if not peer.is_replaying and (not wants or wants(peer)) then
      peer:event(name, text, state_version)
      count = count + 1
    end
  end
  return count
end

-- Calls what the scenario hung on "@open", "@ready" or "@closed".
function Gateway:call_hooks(name, ...)
  for _, fn in ipairs(self.hooks[name]) do
    local fine, problem = xpcall(fn, debug.traceback, ...)
    if not fine then log.error(("the scenario's handler of %s failed: %s"):format(name, problem)) end
  end
end

-- --- what it tells everybody ---------------------------------------------------------------------------------------

function Gateway:tell_presence(but)
  self.state_version.presence = self.state_version.presence + 1
  self:emit("presence", { presence = self.world:presence(self:ready_peers()) }, function(peer)
    return peer ~= but
  end, self.state_version)
end

function Gateway:tell_health(only)
  if not only then self.state_version.health = self.state_version.health + 1 end
  self:emit("health", self.world:health(), only and function(peer) return peer == only end, self.state_version)
end

function Gateway:tell_tick()
  self:emit("tick", { ts = self.raw.now_ms() })
end

function Gateway:start()
  timer.every(self.tick_ms / 1000, function() self:tell_tick() end)
  timer.every(HEALTH_S, function() self:tell_health() end)
end

-- Goes down as a gateway that got SIGTERM; comes back at once, but without anybody's subscriptions. Waits.
function Gateway:shutdown(reason)
  self:emit("shutdown", { reason = reason or "gateway stopping" })
  task.sleep(GOODBYE_S)
  for _, peer in pairs(self.peers) do peer:close(1012, "service restart") end
end

-- settings: protocol, legacy, tick_ms, token
return function(raw, settings)
  local legacy = settings.legacy or false
  local protocol = legacy and 3 or settings.protocol or 4
  return setmetatable({
    raw = raw,
    protocol = protocol,
    legacy = legacy,
    version = versions[protocol],
    boot_id = raw.uuid(),
    started_ms = raw.now_ms(),
    tick_ms = settings.tick_ms or 30000,
    token = settings.token,
    world = new_world(raw, protocol, versions[protocol]),
    peers = {},
    hooks = { ["@open"] = {}, ["@ready"] = {}, ["@closed"] = {} },
    state_version = { presence = 1, health = 1 },
  }, Gateway)
end
