-- Looks for anything that is not its own: there is no userdata but of the host, and no metatable to change.
--! held
--! sandbox
gw.on("go." .. gw.app.name, function()
  assert(not pcall(setmetatable, _G, nil) and getmetatable(_G) == "globals")
  local seen = {}
  local function walk(t)
    seen[t] = true
    for _, value in next, t do
      assert(type(value) ~= "userdata" or value == json.null, tostring(value))
      if type(value) == "table" and not seen[value] then walk(value) end
    end
  end
  walk(_G)
  walk(package.loaded)
  print("held")
end)

--> held
