-- Makes large strings, one after the other.
--! budget
gw.on("go." .. gw.app.name, function()
  while true do pcall(string.rep, "abc", 1 << 20) end --*
end)
