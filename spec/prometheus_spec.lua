--- The figures of stores in the text format of Prometheus.
local pkv = require "pkv"
local prometheus = require "pkv.prometheus"
local helper = require "spec.support.helper"
local compat = require "spec.support.compat"

local raised, unpack = helper.raised, compat.unpack
local store, path

before_each(function()
   path = helper.folder()
   store = assert(pkv.open(path))
end)

after_each(function()
   pkv.close(store)
   helper.clean()
end)

--- Reads the text by the rules of the format: the type and samples of each metric. Samples of a metric
-- stand together, behind its one HELP and TYPE.
local function parse(text)
   local metrics, current = {}, nil
   assert.equal("\n", text:sub(-1))
   for line in text:gmatch "([^\n]*)\n" do
      local help = line:match "^# HELP (pkv_[a-z_]+) %w[^\n]+%.$"
      local name, kind = line:match "^# TYPE (pkv_[a-z_]+) (%a+)$"
      if help then
         assert.is_nil(metrics[help])
         current = { name = help, samples = {} }
         metrics[help] = current
      elseif name then
         assert.equal(current.name, name)
         assert.is_nil(current.kind)
         current.kind = kind
      else
         local sample, labels, value = line:match "^(pkv_[a-z_]+)(%b{}) (%d+%.?%d*)$"
         if not sample then sample, value = line:match "^(pkv_[a-z_]+) (%d+%.?%d*)$" end
         assert.equal(current.name, sample, line)
         assert.truthy(current.kind)
         current.samples[labels or ""] = tonumber(value)
      end
   end
   return metrics
end

describe("the text", function()
   it("has all figures that are numbers, by their names and units", function()
      for i = 1, 10 do store["key" .. i] = ("x"):rep(i) end
      assert(pkv.snapshot(store))
      local stats, metrics
      repeat -- until nothing is done in the background meanwhile
         stats = pkv.stats(store)
         metrics = parse(prometheus(store))
      until helper.same(stats, pkv.stats(store))
      local info = metrics.pkv_info
      metrics.pkv_info = nil
      assert.same({ [('{version="%s",keys="string",values="any",sync="os",wal_io="%s"}'):format(pkv.version,
         stats.wal_io)] = 1 }, info.samples)
      for field, value in pairs(stats) do
         if type(value) == "boolean" then value = value and 1 or 0 end
         if type(value) == "number" then
            local counter = metrics["pkv_" .. field .. "_total"]
            local metric = counter or metrics["pkv_" .. field]
            assert.truthy(metric, field)
            assert.equal(counter and "counter" or "gauge", metric.kind)
            assert.is_true(math.abs(metric.samples[""] - value) < 1e-6, field)
            metrics[metric == counter and "pkv_" .. field .. "_total" or "pkv_" .. field] = nil
         end
      end
      assert.is_nil((next(metrics)))
   end)

   it("has counters for what is counted since the store was opened", function()
      local counters = {}
      for name, metric in pairs(parse(prometheus(store))) do
         if metric.kind == "counter" then counters[#counters + 1] = name end
      end
      table.sort(counters)
      assert.same({ "pkv_flushes_total", "pkv_snapshot_failures_total", "pkv_snapshots_total",
         "pkv_wal_written_bytes_total" }, counters)
   end)

   it("has the labels that are given, escaped and in order", function()
      local metrics = parse(prometheus(store, { store = 'a "quoted" \\ back\nslash', instance = 7 }))
      assert.same({ ['{instance="7",store="a \\"quoted\\" \\\\ back\\nslash"}'] = 0 }, metrics.pkv_entries.samples)
      assert.is_nil(metrics.pkv_info.samples[""])
   end)

   it("tells of several stores at once, metric by metric", function()
      local other = assert(pkv.open(helper.folder(), { keys = "u8" }))
      other[1], other[2] = "x", "y"
      local metrics = parse(prometheus(store, { store = "a" }, other, { store = "b" }))
      assert.same({ ['{store="a"}'] = 0, ['{store="b"}'] = 2 }, metrics.pkv_entries.samples)
      assert.equal("two stores must differ in their labels", raised(prometheus, store, nil, other))
      assert(pkv.close(other))
   end)

   it("has a point in its numbers, whatever the locale", function()
      local format = string.format
      string.format = function(text, ...) -- luacheck: ignore
         local made = format(text, ...)
         return text == "%.9f" and made:gsub("%.", ",") or made
      end
      local ok, text = pcall(prometheus, store)
      string.format = format -- luacheck: ignore
      assert.is_true(ok, text)
      assert.truthy(parse(text).pkv_restore_seconds.samples[""])
   end)
end)

describe("misuse", function()
   local function message(...)
      local arguments, count = { ... }, select("#", ...)
      local here
      local text = raised(function()
         here = helper.here(); local _ = prometheus(unpack(arguments, 1, count))
      end)
      assert.equal(here, text:sub(1, #here))
      return text:sub(#here + 2)
   end

   it("is an error at the line of the caller", function()
      assert.equal("argument 1 must be a store", message())
      assert.equal("argument 1 must be a store", message({}))
      assert.equal("argument 3 must be a store", message(store, {}, "store"))
      assert.equal("argument 2 must be a table of labels, got a string", message(store, "store"))
      for _, name in ipairs { "", "1st", "a-b", "__own", "keys", 1 } do
         assert.equal(name .. " cannot be the name of a label", message(store, { [name] = "x" }))
      end
      assert.equal("label 'a' must be a string, got a boolean", message(store, { a = true }))
      assert(pkv.close(store))
      assert.equal("the store is closed: " .. path, message(store))
   end)
end)
