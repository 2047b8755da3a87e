-- What the simulator writes: frames of the protocol in their dialects, and WebSocket frames by hand, for those that are
-- to be broken.
local wire = {}

local encode = json.encode

-- The legacy dialect has numbers only; these are HTTP's.
local numbers = { NOT_PAIRED = 403, FORBIDDEN = 403, UNAVAILABLE = 503, INVALID_REQUEST = 400 }
local unauthorized = { AUTH_TOKEN_MISMATCH = true, AUTH_TOKEN_MISSING = true, AUTH_DEVICE_TOKEN_MISMATCH = true }

local function text_of(value)
  local text, err = encode(value)
  return text or error(err)
end

wire.text_of = text_of

-- payload, state_version: JSON texts
function wire.event(legacy, name, payload, seq, state_version)
  local text = ('{"type":"event","event":%s,"%s":%s'):format(text_of(name), legacy and "params" or "payload", payload)
  if seq then text = ('%s,"seq":%d'):format(text, seq) end
  if state_version then text = text .. ',"stateVersion":' .. state_version end
  return text .. "}"
end

function wire.response(legacy, id, payload)
  local form = legacy and '{"type":"res","id":%s,"result":%s}' or '{"type":"res","id":%s,"ok":true,"payload":%s}'
  return form:format(text_of(id), text_of(payload))
end

function wire.refusal(legacy, id, err)
  if legacy then
    local code = numbers[err.code] or 500
    if err.details and unauthorized[err.details.code] then code = 401 end
    return ('{"type":"res","id":%s,"error":%s}'):format(text_of(id), text_of { code = code, message = err.message })
  end
  return ('{"type":"res","id":%s,"ok":false,"error":%s}'):format(text_of(id), text_of(err))
end

-- A text message as one unmasked WebSocket frame, RFC 6455 5.2.
function wire.websocket(text)
  local size = #text
  if size < 126 then return string.pack(">BB", 0x81, size) .. text end
  if size < 65536 then return string.pack(">BBI2", 0x81, 126, size) .. text end
  return string.pack(">BBI8", 0x81, 127, size) .. text
end

-- Only the header, of a frame that announces `size` bytes.
function wire.header(size)
  return string.pack(">BBI8", 0x81, 127, size)
end

-- What fits into a close frame, cut at a character's border.
function wire.close_reason(text)
  if #text <= 123 then return text end
  return text:sub(1, utf8.offset(text, 0, 124) - 1)
end

return wire
