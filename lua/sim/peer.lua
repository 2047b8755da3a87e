-- A connection, as the scenario sees it: what is known of the client, and the faults that can be done to it.
--
--     opened ──challenge sent, connect accepted──► ready ──► closed
--        └───────────────────────────────────────────────────▲
local wire = require "gatehouse.sim.wire"

---@class sim.Peer
---@field number integer  1, 2, … in the order of their coming
---@field state "opened"|"ready"|"closed"
---@field client table    what it said about itself in connect
---@field scopes string[] what it was granted
---@field device_id string?
local Peer = {}
Peer.__index = Peer
Peer.__name = "sim.peer"

function Peer:__tostring()
  return "peer " .. self.number
end

-- Events that have no seq on protocol 3.
local unnumbered = { ["session.message"] = true, ["sessions.changed"] = true, ["session.tool"] = true }

local function new(gateway, number)
  return setmetatable({
    gateway = gateway,
    number = number,
    state = "opened",
    seq = 0,
    client = {},
    caps = {},
    scopes = {},
    messages = {}, -- keys of the sessions whose messages it wants
  }, Peer)
end

-- One frame, as the faults want it.
function Peer:write(text)
  local raw = self.gateway.raw
  if self.state == "closed" or self.is_silent then return end
  if self.is_cut then
    local frame = wire.websocket(text)
    raw.send_bytes(self.number, frame:sub(1, #frame // 2))
    self.is_silent = true
  elseif self.is_split then
    raw.send_bytes(self.number, wire.websocket(text), 1)
  else
    raw.send(self.number, text)
  end
end

-- payload: JSON text
function Peer:event(name, payload, state_version)
  local gateway, seq = self.gateway, nil
  if gateway.protocol == 4 or gateway.legacy or not unnumbered[name] then
    self.seq = self.seq + 1
    seq = self.seq
  end
  local text = wire.event(gateway.legacy, name, payload, seq, state_version)
  self:write(text)
  if self.doubled and self.doubled > 0 then
    self.doubled = self.doubled - 1
    self:write(text)
  end
end

function Peer:respond(id, payload)
  self:write(wire.response(self.gateway.legacy, id, payload))
end

function Peer:refuse(id, err)
  self:write(wire.refusal(self.gateway.legacy, id, err))
end

-- --- faults --------------------------------------------------------------------------------------------------------

-- Ends the connection with a close frame.
function Peer:close(code, reason)
  if self.state == "closed" then return end
  self.gateway.raw.close(self.number, code or 1000, wire.close_reason(reason or ""))
  self.is_silent = true -- nothing comes behind a close frame
end

-- The TCP connection is gone, without a close frame: what a client sees of kill -9.
function Peer:drop()
  self.gateway.raw.drop(self.number)
end

-- Neither sends nor reads any more, so it does not answer pings either; for so many seconds, or for good.
function Peer:silence(seconds)
  self.is_silent = true
  self.gateway.raw.deafen(self.number, true)
  if not seconds then return end
  timer.after(seconds, function()
    self.is_silent = false
    self.gateway.raw.deafen(self.number, false)
  end)
end

-- So many sequence numbers are left out.
function Peer:gap(count)
  self.seq = self.seq + (count or 1)
end

-- The next events are sent twice, under the same number.
function Peer:duplicate(count)
  self.doubled = count or 1
end

-- Of the next frame only the first half is sent, and nothing behind it.
function Peer:half()
  self.is_cut = true
end

-- Frames go byte by byte from now on, or whole again.
function Peer:split(on)
  self.is_split = on ~= false
end

-- Bytes that are no WebSocket frame.
function Peer:garbage()
  self.gateway.raw.send_bytes(self.number, "\xff\xfe this is no frame\r\n")
end

-- A text message that is no JSON.
function Peer:nonsense(text)
  self:write(text or '{"type":"event","event":')
end

-- Announces a frame of so many bytes: more than anybody takes.
function Peer:oversized(bytes)
  self.gateway.raw.send_bytes(self.number, wire.header(bytes or 1 << 40))
end

-- Bytes as they are into the TCP stream.
function Peer:bytes(bytes, piece)
  self.gateway.raw.send_bytes(self.number, bytes, piece)
end

-- A text message as it is.
function Peer:text(text)
  self:write(text)
end

return new
