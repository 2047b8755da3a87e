-- Misuse by a scenario raises where it called.
local check = {}

function check.type(who, arg, value, wanted)
  if type(value) == wanted then return end
  error(("bad argument #%d to '%s' (%s expected, got %s)"):format(arg, who, wanted, type(value)), 3)
end

-- options: a table or nil; known: name -> type, or list of types
function check.options(who, arg, options, known)
  if options == nil then return {} end
  if type(options) ~= "table" then
    error(("bad argument #%d to '%s' (table expected, got %s)"):format(arg, who, type(options)), 3)
  end
  for name, value in pairs(options) do
    local wanted = known[name]
    if not wanted then
      error(("bad argument #%d to '%s' (there is no option '%s')"):format(arg, who, tostring(name)), 3)
    end
    if not (" " .. wanted .. " "):find(" " .. type(value) .. " ", 1, true) then
      local text = "bad argument #%d to '%s' (option '%s': %s expected, got %s)"
      error(text:format(arg, who, name, wanted:gsub(" ", " or "), type(value)), 3)
    end
  end
  return options
end

return check
