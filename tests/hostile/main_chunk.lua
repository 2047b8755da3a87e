-- Loops while it loads, so it does not.
--! load
while true do --*
  pcall(function() while true do end end) --*
end
