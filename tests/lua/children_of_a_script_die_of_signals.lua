-- What a script starts gets the signals as any program does: nothing is blocked or ignored because the host has other plans with them.

--! app parent
gw.on("@ready", function()
  print(os.execute("kill -TERM $$"))
  print(os.execute("kill -PIPE $$"))
  print(os.execute("kill -INT $$"))
end)

--! expect parent
--> nil	signal	15
--> nil	signal	13
--> nil	signal	2
