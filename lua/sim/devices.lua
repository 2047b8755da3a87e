-- Devices: which are approved, where that is asked for, and the tokens that were issued to them. Kept as long as the
-- simulator runs.
local Devices = {}
Devices.__index = Devices

local function key_of(id, role)
  return id .. "|" .. role
end

-- The token that the device was given, or nil.
function Devices:token(id, role)
  return self.tokens[key_of(id, role)]
end

-- The same, issued if there is none.
function Devices:issue(id, role)
  local key = key_of(id, role)
  self.tokens[key] = self.tokens[key] or (self.raw.uuid():gsub("-", ""))
  return self.tokens[key]
end

function Devices:refusal(id)
  local request = self.requests[id] or self.raw.uuid()
  self.requests[id] = request -- stays the same until it is approved
  return {
    code = "NOT_PAIRED",
    message = ("pairing required: device is not approved yet (requestId: %s)"):format(request),
    details = { code = "PAIRING_REQUIRED", reason = "not-paired", requestId = request },
  }
end

-- nil if the device may come in.
function Devices:judge(params)
  if self.must_pair and not self.approved[params.device.id] then return self:refusal(params.device.id) end
end

-- Approves the request with this id, or all if there is none. Returns how many.
function Devices:approve(request_id)
  local count = 0
  for id, request in pairs(self.requests) do
    if not request_id or request == request_id then
      self.approved[id] = true
      self.requests[id] = nil
      count = count + 1
    end
  end
  return count
end

return function(raw)
  return setmetatable({ raw = raw, must_pair = false, approved = {}, requests = {}, tokens = {} }, Devices)
end
