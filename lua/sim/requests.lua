-- Requests after hello-ok: the frame's schema, the method, its scope, its params, its answer. In the order and words of
-- a real gateway.
local schema = require "gatehouse.sim.schema"

local frame_schema = schema.object {
  "type", schema.string { one_of = { "req" } },
  "id", schema.string { least = 1 },
  "method", schema.string { least = 1 },
  "params?", schema.any,
  "traceparent?", schema.any,
}

-- What a scope contains besides itself.
local contains = {
  ["operator.admin"] = { "operator.read", "operator.write", "operator.approvals", "operator.pairing" },
  ["operator.write"] = { "operator.read" },
}

local function invalid(message)
  return { code = "INVALID_REQUEST", message = message }
end

local function has_scope(peer, wanted)
  for _, scope in ipairs(peer.scopes) do
    if scope == wanted then return true end
    for _, contained in ipairs(contains[scope] or {}) do
      if contained == wanted then return true end
    end
  end
  return false
end

local function missing_scope(gateway, scope)
  local message = "missing scope: " .. scope
  if gateway.protocol == 3 then return invalid(message) end
  local details = { code = "MISSING_SCOPE", missingScope = scope, requiredScopes = { scope } }
  return { code = "FORBIDDEN", message = message, details = details }
end

-- --- one request ---------------------------------------------------------------------------------------------------

local Request = {}
Request.__index = Request

-- The first of two responses; what the handler returns is the second.
function Request:accept(payload)
  self.peer:respond(self.id, payload)
end

local function send(request, payload, err)
  if payload == nil then return request.peer:refuse(request.id, err) end
  request.peer:respond(request.id, payload)
end

-- --- all methods ---------------------------------------------------------------------------------------------------

local Requests = {}
Requests.__index = Requests

-- fn(params, peer, request) -> payload | nil, err. options: scope, schema; both may be absent.
function Requests:register(method, fn, options)
  options = options or {}
  self.methods[method] = { fn = fn, scope = options.scope, schema = options.schema, before = options.before }
end

-- All names, sorted: features.methods of hello-ok.
function Requests:names()
  local names = json.array()
  for name in pairs(self.methods) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- err as a scenario returns it: a table as on the wire, a text, or nothing.
local function complete(err)
  if type(err) ~= "table" then
    return { code = "UNAVAILABLE", message = err and tostring(err) or "the handler gave no answer" }
  end
  return {
    code = err.code or "UNAVAILABLE",
    message = err.message or tostring(err.code),
    details = err.details,
    retryable = err.retryable,
    retryAfterMs = err.retryAfterMs or err.retry_after_ms,
  }
end

-- payload | nil, err. May wait.
local function call(gateway, request, entry)
  local params = request.params
  if entry.scope and not has_scope(request.peer, entry.scope) then return nil, missing_scope(gateway, entry.scope) end
  local early = entry.before and entry.before(params)
  if early then return nil, early end
  local problem = entry.schema and schema.problem(entry.schema, params)
  if problem then return nil, invalid(("invalid %s params: %s"):format(request.method, problem)) end

  local fine, payload, err = xpcall(entry.fn, debug.traceback, params, request.peer, request)
  if not fine then
    log.error(("the handler of %s failed: %s"):format(request.method, payload))
    return nil, { code = "UNAVAILABLE", message = "internal error" }
  end
  if payload == nil then return nil, complete(err) end
  return payload
end

local function find(requests, peer, method)
  local replayed = peer.asked and requests.gateway.replay:method(peer, method)
  return replayed or requests.methods[method]
end

-- May wait; the peer may be gone then, which its functions know.
function Requests:answer(request)
  local gateway, peer, method = self.gateway, request.peer, request.method
  local fault = gateway.faults:take_answer(method)
  if method == "connect" then return send(request, nil, invalid("connect is only valid as the first request")) end
  local entry = find(self, peer, method)
  if not entry then return send(request, nil, invalid("unknown method: " .. method)) end

  local payload, err
  if fault.error then
    err = complete(fault.error)
  else
    payload, err = call(gateway, request, entry)
  end
  if fault.never then return end
  if fault.late then task.sleep(fault.late) end
  if fault.unknown_id then request.id = gateway.raw.uuid() end
  send(request, payload, err)
  if fault.twice then send(request, payload, err) end
end

-- A message of a peer that is ready. What is not JSON is ignored, as the gateway does.
function Requests:message(peer, text)
  local frame = json.decode(text)
  if frame == nil then return end
  local problem = schema.problem(frame_schema, frame)
  if problem then
    local id = type(frame) == "table" and frame.id
    local known = type(id) == "string" or type(id) == "number"
    return peer:refuse(known and id or "invalid", invalid("invalid request frame: " .. problem))
  end
  local params = frame.params
  if params == nil or params == json.null then params = {} end
  self:answer(setmetatable({ id = frame.id, method = frame.method, params = params, peer = peer }, Request))
end

return function(gateway)
  return setmetatable({ gateway = gateway, methods = {} }, Requests)
end
