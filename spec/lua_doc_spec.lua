--- What the documentation shows works, and prints what it says.
local helper = require "spec.support.helper"
local documentation = require "spec.support.documentation"
local pkv = require "pkv" -- from here, as its path is relative
require "pkv.prometheus"

describe("the Lua in", function()
   for _, path in ipairs { "doc/lua.md", "README.md" } do
      it(path .. " runs and prints what it says", function()
         local code, promised = documentation.program_of(helper.read(path))
         assert.is_true(#promised > 0)
         documentation.in_folder(function()
            local lines = documentation.run(code, path)
            for i, line in ipairs(promised) do assert.equal(line, (lines[i] or "nothing"):gsub("%s+", " "), i) end
         end)
      end)
   end
end)

--- The words that a pattern finds in a text, sorted, each once.
local function words(text, pattern)
   local list, seen = {}, {}
   for word in text:gmatch(pattern) do
      if not seen[word] then list[#list + 1] = word end
      seen[word] = true
   end
   table.sort(list)
   return list
end

local function names(object)
   local list = {}
   for name in pairs(object) do list[#list + 1] = name end
   table.sort(list)
   return list
end

describe("what the module has", function()
   local meta = helper.read "lua/pkv/meta.lua"

   it("is all annotated, and nothing else is", function()
      local functions = words(meta, "\nfunction pkv%.([%w_]+)%(")
      functions[#functions + 1] = meta:match "%-%-%-@class pkv\n%-%-%-@field (version) string\n"
      table.sort(functions)
      assert.same(names(pkv), functions)
   end)

   it("is all in doc/lua.md, and nothing else is", function()
      assert.same(names(pkv), words(helper.read "doc/lua.md", "\n### `pkv%.([%w_]+)"))
   end)

   it("has an example each", function()
      local sections, shown = helper.read "doc/lua.md":gsub("\n##", "\1\n##"), {}
      for title, section in sections:gmatch "\1\n###? ([^\n]+)([^\1]*)" do
         if section:find "\n```lua\n" then
            for name in title:gmatch "`pkv%.([%w_]+)" do shown[name] = true end
         end
      end
      assert.same(names(pkv), names(shown))
   end)

   it("takes options that are all annotated and documented, and gives tables whose fields are", function()
      local doc = helper.read "doc/lua.md"
      local function compare(class, list)
         table.sort(list)
         local fields = assert(meta:match("%-%-%-@class pkv%." .. class .. "\n(.-)\n\n"), class)
         assert.same(list, words(fields, "@field ([%w_]+)"))
         for _, name in ipairs(list) do assert.truthy(doc:find("`" .. name .. "`", 1, true), name) end
      end
      local function options_of(f, ...)
         return words(helper.raised(f, ...):match "the options are (.*)%)$", "[%w_]+")
      end
      local path, events = helper.folder(), {}
      compare("Options", options_of(pkv.open, path, { unknown = 1 }))
      compare("RepairOptions", options_of(pkv.repair, path, { unknown = 1 }))
      local store = assert(pkv.open(path, { on_event = function(name, details) events[name] = details end }))
      store.x = 1
      assert(pkv.close(store))
      events.restored.message = "of a failure"
      compare("Event", names(events.restored))
      compare("CheckReport", names(assert(pkv.check(path))))
      local repaired = assert(pkv.repair(path, { output = path .. "-repaired" }))
      compare("RepairReport", names(repaired))
      for _, finding in ipairs(repaired.findings) do
         for name in pairs(finding) do assert.truthy(meta:find("@field " .. name .. "%?? "), name) end
      end
      local codes = words(meta:match "@alias pkv%.Code\n(.-)\n\n", '"([%w_]+)"')
      for _, code in ipairs(codes) do assert.truthy(code == "closed" or doc:find("`" .. code .. "`", 1, true), code) end
      helper.clean()
   end)

   it("is so in nginx, too", function()
      local source = helper.read "lua/resty/persistent_kv.lua"
      local headings = helper.read("doc/openresty.md"):gsub("handle:", "persistent_kv.")
      local functions = words(source:gsub("methods:", "persistent_kv."), "\nfunction persistent_kv%.([%w_]+)%(")
      assert.same(functions, words(source:gsub("methods:", "persistent_kv."),
         "%-%-%-@return [^\n]+\nfunction persistent_kv%.([%w_]+)%("))
      assert.same(functions, words(headings, "\n### `persistent_kv%.([%w_]+)"))
      assert.same(words(source:match "local OPTIONS = (%b{})", "([%w_]+) ="), words(source, "@field ([%w_]+)%?"))
   end)

   it("has figures that are all annotated", function()
      local store = assert(pkv.open(helper.folder()))
      local stats = pkv.stats(store)
      assert(pkv.close(store))
      helper.clean()
      stats.last_failure = "absent where nothing failed"
      local fields = meta:match "%-%-%-@class pkv%.Stats\n(.-)\n\n"
      assert.same(names(stats), words(fields, "@field ([%w_]+)"))
   end)
end)

describe("the example", function()
   after_each(helper.clean)
   for _, name in ipairs { "counter.lua", "build_cache.lua", "save_game.lua" } do
      it(name .. " runs, and runs again with what it kept", function()
         local code, folder = helper.read("examples/" .. name), helper.folder()
         local first = helper.run_well(code, folder)
         local second = helper.run_well(code, folder)
         assert.is_true(#first > 0 and #second > 0)
         assert.not_equal(first, second)
      end)
   end
end)
