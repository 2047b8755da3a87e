-- Loads bytecode, which could do anything.
--! held
gw.on("go." .. gw.app.name, function()
  local code = string.dump(function() return 1 end)
  assert(not load(code) and not load(code, "x", "b") and not load(code, "x", "bt", _ENV))
  assert(not load(function()
    local part = code
    code = nil
    return part
  end))
  local file = assert(io.open(gw.app.data_dir .. "/code.lua", "wb"))
  file:write(string.dump(function() return 1 end))
  file:close()
  assert(not loadfile(gw.app.data_dir .. "/code.lua", "b") and not pcall(dofile, gw.app.data_dir .. "/code.lua"))
  package.path = gw.app.data_dir .. "/?.lua"
  assert(not pcall(require, "code"))
  print("held")
end)

--> held
