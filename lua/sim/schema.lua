-- Schemas as strict as the gateway's, with its words for what is wrong: "at /client/id: must be string".
--
-- A schema is a function (value, path, problems) that appends sentences to `problems`. A value that is absent is never
-- checked.
local schema = {}

local array_mark = getmetatable(json.array())

-- JSON's type of a decoded value; an empty table without the mark of arrays is an object.
local function type_of(value)
  if value == json.null then return "null" end
  if type(value) == "table" then return getmetatable(value) == array_mark and "array" or "object" end
  return type(value)
end

local function add(problems, path, text)
  problems[#problems + 1] = path == "" and text or ("at %s: %s"):format(path, text)
end

local function typed(name)
  return function(value, path, problems)
    if type_of(value) == name then return true end
    add(problems, path, "must be " .. name)
  end
end

schema.boolean = typed "boolean"
schema.any = function() end

local is_string, is_array, is_object = typed "string", typed "array", typed "object"

-- options: least (characters), one_of (list of texts)
function schema.string(options)
  options = options or {}
  local allowed
  if options.one_of then
    allowed = {}
    for _, text in ipairs(options.one_of) do allowed[text] = true end
  end
  return function(value, path, problems)
    if allowed and not allowed[value] then
      local one = #options.one_of == 1
      return add(problems, path, one and "must be equal to constant" or "must be equal to one of the allowed values")
    end
    if not is_string(value, path, problems) then return end
    if options.least and #value < options.least then
      add(problems, path, ("must not have fewer than %d characters"):format(options.least))
    end
  end
end

-- options: least, most
function schema.integer(options)
  options = options or {}
  return function(value, path, problems)
    if type(value) ~= "number" or math.tointeger(value) == nil then return add(problems, path, "must be integer") end
    if options.least and value < options.least then add(problems, path, "must be >= " .. options.least) end
    if options.most and value > options.most then add(problems, path, "must be <= " .. options.most) end
  end
end

function schema.array(of)
  return function(value, path, problems)
    if not is_array(value, path, problems) then return end
    for i, item in ipairs(value) do of(item, ("%s/%d"):format(path, i - 1), problems) end
  end
end

-- Any members, all of one schema.
function schema.map(of)
  return function(value, path, problems)
    if not is_object(value, path, problems) then return end
    for key, item in pairs(value) do of(item, path .. "/" .. key, problems) end
  end
end

-- members: name, schema, name, schema, …; a name that ends in '?' need not be there.
function schema.object(members)
  local order, known = {}, {}
  for i = 1, #members, 2 do
    local name, optional = members[i]:match("^([^?]+)(%??)$")
    order[#order + 1] = { name = name, required = optional == "", check = members[i + 1] }
    known[name] = true
  end
  return function(value, path, problems)
    if not is_object(value, path, problems) then return end
    for _, member in ipairs(order) do
      if member.required and value[member.name] == nil then
        add(problems, path, ("must have required property '%s'"):format(member.name))
        break -- the gateway names the first one only
      end
    end
    local unexpected = {}
    for name in pairs(value) do
      if not known[name] then unexpected[#unexpected + 1] = name end
    end
    table.sort(unexpected)
    for _, name in ipairs(unexpected) do
      add(problems, path == "" and "root" or path, ("unexpected property '%s'"):format(name))
    end
    for _, member in ipairs(order) do
      if value[member.name] ~= nil then member.check(value[member.name], path .. "/" .. member.name, problems) end
    end
  end
end

-- nil when `value` is as `check` wants it, otherwise what is wrong.
function schema.problem(check, value)
  local problems = {}
  check(value, "", problems)
  if problems[1] then return table.concat(problems, "; ") end
end

return schema
