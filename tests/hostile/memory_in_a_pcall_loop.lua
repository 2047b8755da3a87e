-- Catches that there is no memory, and asks again.
--! budget
gw.on("go." .. gw.app.name, function()
  local hoard = {}
  while true do --*
    pcall(function() --*
      while true do hoard[#hoard + 1] = ("x"):rep(1 << 16) .. #hoard end --*
    end)
  end
end)
