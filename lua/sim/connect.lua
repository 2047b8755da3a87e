-- The connect request: its schema, and the order in which the gateway judges it. Every refusal has the words of a real
-- one.
local schema = require "gatehouse.sim.schema"

local SKEW_MS = 120000

local text, required = schema.string(), schema.string { least = 1 }

local client_ids = {
  "webchat-ui", "openclaw-control-ui", "openclaw-tui", "webchat", "cli", "gateway-client", "openclaw-macos",
  "openclaw-ios", "openclaw-android", "node-host", "test", "fingerprint", "openclaw-probe",
}
local client_modes = { "webchat", "cli", "ui", "backend", "node", "probe", "test" }

local params_schema = schema.object {
  "minProtocol", schema.integer { least = 1 },
  "maxProtocol", schema.integer { least = 1 },
  "client", schema.object {
    "id", schema.string { one_of = client_ids },
    "displayName?", required,
    "version", required,
    "platform", required,
    "deviceFamily?", required,
    "modelIdentifier?", required,
    "mode", schema.string { one_of = client_modes },
    "instanceId?", required,
  },
  "caps?", schema.array(required),
  "commands?", schema.array(required),
  "permissions?", schema.map(schema.boolean),
  "pathEnv?", text,
  "role?", required,
  "scopes?", schema.array(required),
  "device?", schema.object {
    "id", required,
    "publicKey", required,
    "signature", required,
    "signedAt", schema.integer { least = 0 },
    "nonce", required,
  },
  "auth?", schema.object {
    "token?", text,
    "bootstrapToken?", text,
    "deviceToken?", text,
    "password?", text,
  },
  "locale?", text,
  "userAgent?", text,
}

local function invalid(message, details)
  return { code = "INVALID_REQUEST", message = message, details = details }
end

local function unauthorized(code, reason, message, can_retry, next_step)
  return invalid("unauthorized: " .. message, {
    code = code,
    authReason = reason,
    canRetryWithDeviceToken = can_retry,
    recommendedNextStep = next_step,
  })
end

local function device_trouble(message, code, reason)
  return invalid(message, { code = "DEVICE_AUTH_" .. code, reason = reason })
end

-- --- the device ----------------------------------------------------------------------------------------------------

local function folded(value)
  return (value or ""):match("^%s*(.-)%s*$"):gsub("%u", string.lower)
end

local function is_signed(gateway, params)
  local device, client, auth = params.device, params.client, params.auth or {}
  local claim = table.concat({
    device.id,
    client.id,
    client.mode,
    params.role or "operator",
    table.concat(params.scopes or {}, ","),
    ("%d"):format(device.signedAt),
    auth.token or auth.deviceToken or "",
    device.nonce,
  }, "|")
  local platform, family = folded(client.platform), folded(client.deviceFamily)
  local v3 = ("v3|%s|%s|%s"):format(claim, platform, family)
  local verify = gateway.raw.verify
  return verify(device.publicKey, v3, device.signature) or verify(device.publicKey, "v2|" .. claim, device.signature)
end

local function judge_device(gateway, peer, params)
  local device = params.device
  if gateway.raw.device_id(device.publicKey) ~= device.id then
    return device_trouble("device identity mismatch", "DEVICE_ID_MISMATCH", "device-id-mismatch")
  end
  if math.abs(gateway.raw.now_ms() - device.signedAt) > SKEW_MS then
    return device_trouble("device signature expired", "SIGNATURE_EXPIRED", "device-signature-stale")
  end
  if not device.nonce:find("%S") then
    return device_trouble("device nonce required", "NONCE_REQUIRED", "device-nonce-missing")
  end
  if device.nonce ~= peer.nonce then
    return device_trouble("device nonce mismatch", "NONCE_MISMATCH", "device-nonce-mismatch")
  end
  if not is_signed(gateway, params) then
    return device_trouble("device signature invalid", "SIGNATURE_INVALID", "device-signature")
  end
end

-- --- the secret ----------------------------------------------------------------------------------------------------

local function is_empty(value)
  return value == nil or value == ""
end

local function judge_secret(gateway, params)
  local auth, device = params.auth or {}, params.device
  local secret = is_empty(auth.token) and auth.password or auth.token
  if not is_empty(secret) then
    if secret == gateway.token then return end
    if device then
      return unauthorized("AUTH_TOKEN_MISMATCH", "token_mismatch",
        "gateway token mismatch (use this gateway's gateway.auth.token or pair the device)",
        true, "retry_with_device_token")
    end
    return unauthorized("AUTH_TOKEN_MISMATCH", "token_mismatch",
      "gateway token mismatch (provide gateway auth token)", false, "update_auth_credentials")
  end
  if not device then
    local details = { code = "DEVICE_IDENTITY_REQUIRED" }
    return { code = "NOT_PAIRED", message = "device identity required", details = details }
  end
  if is_empty(auth.deviceToken) then
    return unauthorized("AUTH_TOKEN_MISSING", "token_missing",
      "gateway token missing (provide gateway auth token)", false, "update_auth_configuration")
  end
  if gateway.devices:token(device.id, params.role) ~= auth.deviceToken then
    return unauthorized("AUTH_DEVICE_TOKEN_MISMATCH", "device_token_mismatch",
      "device token mismatch (rotate/reissue device token)", false, "update_auth_credentials")
  end
end

-- --- all of it -----------------------------------------------------------------------------------------------------

local connect = {}

-- Without a device the shared token alone gives scopes to few identities.
local function keeps_scopes(gateway, params)
  local id, mode = params.client.id, params.client.mode
  if params.device or (id == "gateway-client" and mode == "backend") then return true end
  return gateway.protocol == 4 and id == "cli" and mode == "cli"
end

-- What is enforced.
function connect.scopes(gateway, params)
  return keeps_scopes(gateway, params) and params.scopes or json.array()
end

-- The error that connect is answered with, and the close code (1008 if there is none); nil if it is let in.
function connect.judge(gateway, peer, params)
  local problem = schema.problem(params_schema, params)
  if problem then return invalid("invalid connect params: " .. problem) end

  local own = gateway.protocol
  if params.minProtocol > own or params.maxProtocol < own then
    return invalid("protocol mismatch", {
      code = "PROTOCOL_MISMATCH",
      clientMinProtocol = params.minProtocol,
      clientMaxProtocol = params.maxProtocol,
      expectedProtocol = own,
      minimumProbeProtocol = 3,
    }), 1002
  end
  local role = params.role or "operator"
  if role ~= "operator" and role ~= "node" then return invalid("invalid role") end
  params.role = role

  return (params.device and judge_device(gateway, peer, params)) or judge_secret(gateway, params)
    or (params.device and gateway.devices:judge(params))
end

return connect
