-- The gateway simulator: what a scenario finds in the global `sim`. Loaded by src/api/sim.c, which passes its raw
-- module, before the scenario's main chunk. docs/simulator.md is the manual.
local raw = ...

local check = require "gatehouse.sim.check"
local handshake = require "gatehouse.sim.handshake"
local new_devices = require "gatehouse.sim.devices"
local new_faults = require "gatehouse.sim.faults"
local new_gateway = require "gatehouse.sim.gateway"
local new_replay = require "gatehouse.sim.replay"
local new_requests = require "gatehouse.sim.requests"
local new_runs = require "gatehouse.sim.runs"

local gateway = new_gateway(raw, gw.app.config)
gateway.devices = new_devices(raw)
gateway.faults = new_faults(raw)
gateway.requests = new_requests(gateway)
gateway.runs = new_runs(gateway)
require "gatehouse.sim.methods".register(gateway)
gateway.runs:register()

raw.on("@sim.opened", function(_, event)
  handshake.open(gateway, event.seq)
end)

raw.on("@sim.message", function(text, event)
  local peer = gateway.peers[event.seq]
  if not peer then return end
  if peer.state == "ready" then return gateway.requests:message(peer, text) end
  handshake.message(gateway, peer, text)
end)

raw.on("@sim.closed", function(code, event)
  handshake.closed(gateway, event.seq, code)
end)

gw.on("@start", function() gateway:start() end)
gw.on("@stop", function() gateway:shutdown() end)

-- --- what a scenario sees ------------------------------------------------------------------------------------------

local sim = { protocol = gateway.protocol, legacy = gateway.legacy }

function sim.on(name, fn, options)
  check.type("sim.on", 1, name, "string")
  check.type("sim.on", 2, fn, "function")
  options = check.options("sim.on", 3, options, { scope = "string" })
  if name:sub(1, 1) ~= "@" then return gateway.requests:register(name, fn, options) end
  local hooks = gateway.hooks[name]
  if not hooks then error("bad argument #1 to 'sim.on' (a method, '@open', '@ready' or '@closed' expected)", 2) end
  hooks[#hooks + 1] = fn
end

function sim.emit(event, payload, peer)
  check.type("sim.emit", 1, event, "string")
  if payload == nil then payload = {} end
  local text, err = json.encode(payload)
  if not text then error(("bad argument #2 to 'sim.emit' (%s)"):format(err), 2) end
  if not peer then return gateway:emit(event, payload) end
  if peer.state ~= "ready" then return 0 end
  peer:event(event, text)
  return 1
end

function sim.peers()
  return gateway:ready_peers()
end

-- Tail calls, so that misuse is reported where the scenario called.
function sim.next(options)
  return gateway.faults:next(options)
end

function sim.answer(method, options)
  return gateway.faults:answer(method, options)
end

function sim.model(fn)
  check.type("sim.model", 1, fn, "function")
  gateway.runs.model = fn
end

function sim.pace(seconds)
  check.type("sim.pace", 1, seconds, "number")
  gateway.runs.pace_s = seconds
end

function sim.run(session_key, message)
  check.type("sim.run", 1, session_key, "string")
  check.type("sim.run", 2, message, "string")
  return gateway.runs:run(session_key, message)
end

function sim.agent(id, name)
  check.type("sim.agent", 1, id, "string")
  if not gateway.world:has_agent(id) then gateway.world:add_agent(id, name) end
end

function sim.session(key, label)
  check.type("sim.session", 1, key, "string")
  return gateway.world:add_session(key, label).key
end

function sim.pairing(required)
  gateway.devices.must_pair = required ~= false
end

function sim.approve(request_id)
  return gateway.devices:approve(request_id)
end

function sim.tick()
  gateway:tell_tick()
end

function sim.health()
  gateway:tell_health()
end

function sim.shutdown(reason)
  gateway:shutdown(reason)
end

-- A path is one inside the scenario's folder, or one that this process can open.
local function read(path)
  local text = path:sub(1, 1) ~= "/" and gw.read_file(path)
  if text then return text end
  local file, problem = io.open(path, "rb")
  if not file then return nil, problem end
  text = file:read("a")
  file:close()
  return text
end

function sim.replay(path, options)
  check.type("sim.replay", 1, path, "string")
  options = check.options("sim.replay", 2, options, { speed = "number", connection = "string" })
  local text, problem = read(path)
  local replay
  if text then replay, problem = new_replay(gateway, text, options) end
  if not replay then error(("sim.replay cannot play %s: %s"):format(path, problem), 2) end
  gateway.replay = replay
end

function sim.port()
  return raw.port()
end

return sim
