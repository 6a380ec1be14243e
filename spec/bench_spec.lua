-- The benchmark's arithmetic and its plan: what it says is reached is what was measured.
package.path = "bench/?.lua;" .. package.path

local function work(fields)
   local result = { date = "today", scenario = "s", run = 1, peer = "pkv", class = "D1" }
   result.entries, result.key, result.value, result.threads = 10, 16, 100, 1
   for name, value in pairs(fields) do
      result[name] = value
   end
   return result
end

-- The modules anew, without what other tests put into them.
local function fresh(name)
   package.loaded[name] = nil
   return require(name)
end

describe("the benchmark's figures", function()
   local figures
   before_each(function()
      figures = fresh "figures"
   end)

   it("are a median with its spread", function()
      assert.same({ 2, 1, 9, 3 }, { figures.spread { 9, 1, 2 } })
      assert.same({ 3, 1, 9, 4 }, { figures.spread { 9, 1, 2, 4 } })
      assert.is_nil(figures.spread {})
   end)

   it("are compared run by run, and only where both were taken", function()
      for run, ns in ipairs { 100, 200, 400 } do
         figures.add(work { run = run }, "get", "ns", ns)
         if run > 1 then
            figures.add(work { run = run, peer = "other" }, "get", "ns", ns * run)
         end
      end
      local ours = { scenario = "s", peer = "pkv", step = "get", measure = "ns" }
      local theirs = { scenario = "s", peer = "other", step = "get", measure = "ns" }
      assert.same({ [2] = 2, [3] = 3 }, figures.ratio(figures.select(theirs), figures.select(ours)))
   end)

   it("are told apart by all that the work has", function()
      figures.add(work { threads = 1 }, "get", "ns", 1)
      figures.add(work { threads = 2 }, "get", "ns", 2)
      figures.add(work { threads = 2, value = 32 }, "get", "ns", 3)
      local fields = { scenario = "s", peer = "pkv", step = "get", measure = "ns", threads = 2, value = 100 }
      assert.same({ 2 }, figures.select(fields))
   end)

   it("come back from a file as they were written", function()
      local folder = os.tmpname()
      os.remove(folder)
      os.execute("mkdir " .. folder)
      figures.add(work { run = 1 }, "a:zipf", "p99.9", 1234.5)
      figures.add(work { run = 2 }, "a:zipf", "p99.9", 0.25)
      figures.write(folder, "s")
      figures = fresh "figures"
      figures.read(folder, "s")
      figures.read(folder, "no such scenario")
      os.execute("rm -r " .. folder)
      local fields = { scenario = "s", peer = "pkv", step = "a:zipf", measure = "p99.9", value = 100 }
      assert.same({ 1234.5, 0.25 }, figures.select(fields))
      assert.same({ "today" }, figures.values("s", "date"))
   end)
end)

describe("the benchmark's plan", function()
   local plan, take_part, targets = fresh "plan", fresh "peers", fresh "targets"

   -- Steps that print under other names than their own.
   local PRINTED = {
      refill = { "delete", "refill" },
      stall = { "set", "get", "set+snapshot", "get+snapshot" },
   }
   local LUA_STEPS = "warm:set warm:get load set get pairs remove"

   -- The names under which the phases of a scenario print.
   local function printed(scenario)
      local names = {}
      for i, phase in ipairs(scenario.phases or { { steps = LUA_STEPS } }) do
         if i > 1 or #(scenario.phases or {}) < 2 then
            for step in ("open close " .. phase.steps):gmatch "%S+" do
               for _, name in ipairs(PRINTED[step] or { step }) do
                  names[(phase.label and phase.label .. ":" or "") .. name] = true
               end
            end
         end
      end
      return names
   end

   local function find(list, id)
      for _, item in ipairs(list) do
         if item.id == id then
            return item
         end
      end
      error("there is no " .. id)
   end

   local function contains(list, wanted)
      for _, item in ipairs(list or {}) do
         if item == wanted then
            return true
         end
      end
      return false
   end

   it("has tables of what is measured", function()
      for _, scenarios in pairs(plan) do
         for _, scenario in ipairs(scenarios) do
            local names = printed(scenario)
            for _, columns in ipairs(scenario.tables) do
               for i = 2, #columns do
                  local step = columns[i]:match "^(%S+) %S+$"
                  assert.is_true(names[step], scenario.id .. " does not print " .. columns[i])
               end
            end
         end
      end
   end)

   -- Whether the plan measures such a figure, of a peer that takes part.
   local function is_measured(figure)
      local scenario = find(plan.full, figure.scenario)
      local peer = find(scenario.lua and take_part.lua_peers or take_part.peers, figure.peer)
      local threads = scenario.threads or 1
      local sizes = false
      for _, size in ipairs(scenario.sizes or { { 16, 100 } }) do
         sizes = sizes or size[1] == figure.key and size[2] == figure.value
      end
      return sizes
         and printed(scenario)[figure.step] == true
         and (type(threads) == "table" and contains(threads, figure.threads) or threads == figure.threads)
         and contains(peer.classes, scenario.class)
         and not contains(scenario.without, peer.id)
         and (not scenario.only or contains(scenario.only, peer.id))
         and not (scenario.fast and peer.slow)
   end

   it("measures all figures to reach", function()
      for _, target in ipairs(targets) do
         for _, name in ipairs { "of", "by", "excuse" } do
            local figure = target[name]
            if figure then
               local said = ("%s, %s: %s %s"):format(target.what, target.against, figure.scenario, figure.step)
               assert.is_true(is_measured(figure), said)
            end
         end
         assert.is_truthy(target.least or target.most)
      end
   end)
end)
