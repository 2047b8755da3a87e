-- Loops without a loop.
--! budget
gw.on("go." .. gw.app.name, function()
  ::again::
  goto again --*
end)
