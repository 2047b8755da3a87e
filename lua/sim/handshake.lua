-- From the upgrade to hello-ok: challenge, connect, and every way to be turned away.
local connect = require "gatehouse.sim.connect"
local hello = require "gatehouse.sim.hello"
local wire = require "gatehouse.sim.wire"

local BUDGET_S = 15 -- to send connect
local FRAME_BYTES = 65536 -- before hello-ok; a larger one ends the connection

local function send_challenge(gateway, peer)
  local payload = { nonce = peer.nonce, ts = gateway.raw.now_ms() }
  if gateway.protocol == 4 then payload.capabilities = json.array() end
  peer:write(wire.event(gateway.legacy, "connect.challenge", wire.text_of(payload)))
end

local handshake = {}

-- Waits, if the challenge is to come late.
function handshake.open(gateway, number)
  local peer, fault = gateway:open(number), gateway.faults:take()
  peer.nonce, peer.conn_id, peer.fault = gateway.raw.uuid(), gateway.raw.uuid(), fault
  peer.budget = timer.after(BUDGET_S, function() peer:close(1000) end)
  gateway:call_hooks("@open", peer)
  if fault.split then peer:split() end
  if fault.silent then return peer:silence() end
  if fault.drop then return peer:drop() end
  if fault.close and not fault.refuse then return peer:close(fault.close, fault.reason) end
  if fault.challenge == false then return end
  if fault.challenge_after then task.sleep(fault.challenge_after) end
  send_challenge(gateway, peer)
end

-- Answers connect with an error and ends the connection.
local function turn_away(gateway, peer, id, err, code)
  peer:refuse(id, err)
  peer:close(code or 1008, err.message)
end

local function let_in(gateway, peer, id, params)
  local device = params.device
  peer.client = params.client
  peer.role = params.role
  peer.scopes = connect.scopes(gateway, params)
  peer.device_id = device and device.id
  for _, cap in ipairs(params.caps or {}) do peer.caps[cap] = true end
  peer.state = "ready"

  local replay = gateway.replay
  local payload = replay and replay.hello or hello(gateway, peer, {
    role = params.role,
    -- On protocol 3 what is told is what was asked for, not what is enforced.
    scopes = gateway.protocol == 3 and params.scopes or peer.scopes,
    device_token = device and gateway.devices:issue(device.id, params.role),
  })
  peer:respond(id, payload)
  gateway:call_hooks("@ready", peer)
  if replay then return replay:play(peer) end
  gateway:tell_presence(peer)
  gateway:tell_health(peer)
end

-- The first message of a peer.
function handshake.message(gateway, peer, text)
  if #text > FRAME_BYTES then return peer:close(1009) end
  local frame = json.decode(text)
  if frame == nil then return peer:close(1000) end
  if type(frame) ~= "table" or frame.type ~= "req" or type(frame.id) ~= "string" or type(frame.method) ~= "string" then
    return peer:close(1008, "invalid request frame")
  end
  if frame.method ~= "connect" then
    local message = "invalid handshake: first request must be connect"
    return turn_away(gateway, peer, frame.id, { code = "INVALID_REQUEST", message = message })
  end
  peer.budget:cancel()
  local params = frame.params
  if params == nil or params == json.null then params = {} end
  local err, code = connect.judge(gateway, peer, params)
  if not err then err, code = gateway.faults.refusal(gateway, peer.fault, params) end
  if err then return turn_away(gateway, peer, frame.id, err, code) end
  let_in(gateway, peer, frame.id, params)
end

function handshake.closed(gateway, number, code)
  local peer = gateway.peers[number]
  if not peer then return end
  local was_ready = peer.state == "ready"
  peer.state = "closed"
  peer.budget:cancel()
  gateway.peers[number] = nil
  gateway:call_hooks("@closed", peer, code)
  if was_ready then gateway:tell_presence() end
end

return handshake
