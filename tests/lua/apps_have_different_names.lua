-- Two of one name would share their folder and their log: that is said before anything is connected.

--! exit: 2
--! ends: by itself
--! scenario
sim.on("@open", function() print("somebody came") end)

--! app watch
print("one")
--! app watch/
print("two")

--! log: gatehouse run: two apps are named watch: watch\.lua and watch/
--! not-log: connecting
--! expect sim
