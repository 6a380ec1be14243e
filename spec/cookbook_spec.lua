--- The programs of doc/cookbook.md work, with stand-ins for their hosts. That in nginx: see openresty_spec.
local helper = require "spec.support.helper"
local documentation = require "spec.support.documentation"
local pkv = require "pkv"

local text = helper.read "doc/cookbook.md"

local function section(title)
   return assert(text:match("\n## (" .. title .. "\n.-)\n## ") or text:match("\n## (" .. title .. "\n.*)"))
end

--- Runs the program of a section, and compares what it prints with what it promises.
local function works(title, globals)
   local code, promised = documentation.program_of(section(title))
   local lines = documentation.run(code, title, globals)
   for i = 1, math.max(#promised, #lines) do
      assert.equal(promised[i], lines[i] and lines[i]:gsub("%s+", " "):gsub(" $", ""))
   end
end

describe("the cookbook", function()
   it("names its recipes, and nothing else", function()
      local listed = {}
      for title in text:match "\n(%- %[.-)\n\n":gmatch "%[(.-)%]" do listed[#listed + 1] = title end
      local titles = {}
      for title in text:gmatch "\n## ([^\n]+)" do titles[#titles + 1] = title end
      assert.same(titles, listed)
   end)

   it("keeps games, also when they are killed", function()
      local game = section "Save games in LÖVE and Defold"
      local program = ([[
         io.stdout:setvbuf "no"
         love = { filesystem = {
            setIdentity = function(name) assert(name == "shepherd") end,
            getSaveDirectory = function() return arg[1] end,
         } }
         %s
         love.load()
         for key in arg[2]:gmatch "%%a+" do love.keypressed(key) end
      ]]):format(documentation.program_of(game))
      local folder = helper.folder()
      local first, code = helper.run(program .. "os.execute 'kill -9 $PPID'", folder, "space right right space")
      assert.equal(137, code)
      local second = helper.run_well(program .. "love.quit()", folder, "right")
      assert.equal(game:match "```text\n(.-)```", first:match "^[^\n]*\n" .. second)
      local store = assert(pkv.open(folder .. "/saves"))
      assert.same({ x = 3, y = 0, sheep = { { x = 0, y = 0 }, { x = 2, y = 0 } } }, store["1/player"])
      assert(pkv.close(store))
      helper.clean()
   end)

   it("keeps the state of a plugin, where nobody else has it", function()
      local code = documentation.program_of(section "A plugin's state in Neovim")
      documentation.in_folder(function()
         local open = pkv.open
         local function edit(answer)
            local handlers, cursor, notified = {}, { 7, 3 }, nil
            local vim = {
               fn = { stdpath = function(what) return "data/" .. what end },
               log = { levels = { WARN = 3 } },
               notify = function(message) notified = message end,
               api = {
                  nvim_create_autocmd = function(event, options) handlers[event] = options.callback end,
                  nvim_win_get_cursor = function() return cursor end,
                  nvim_win_set_cursor = function(_, position) cursor = position end,
               },
            }
            if answer then pkv.open = function() return nil, "because", answer end end
            local ok, problem = pcall(documentation.run, code, "state.lua", { vim = vim })
            pkv.open = open
            assert.is_true(ok, problem)
            handlers.BufReadPost { file = "unknown.c" }
            assert.same({ 7, 3 }, cursor)
            handlers.BufLeave { file = "main.c" }
            cursor = { 1, 0 }
            handlers.BufReadPost { file = "main.c" }
            assert.same({ 7, 3 }, cursor)
            return notified
         end
         assert.is_nil(edit())
         local store = assert(open("data/state/marks"))
         assert.equal(7, store["main.c"].line)
         assert.is_nil(edit "locked")
         assert.equal("marks: because", edit "io")
         assert(pkv.close(store))
      end)
   end)

   it("keeps what a build has made", function()
      documentation.in_folder(function() works "A build tool's cache" end)
   end)

   it("moves a dump of a table", function()
      documentation.in_folder(function()
         helper.write("players.lua", "return { alice = { level = 3 }, bob = { level = 1 } }")
         works "Moving from a dump of a table"
      end)
   end)

   it("moves a table of SQLite", function()
      local rows = { { id = 1, name = "alice", level = 3 }, { id = 2, name = "bob", level = 1 },
                     { id = 3, name = "carol", level = 2 } }
      package.preload.lsqlite3 = function()
         return { open = function(name)
            assert.equal("game.db", name)
            return { close = function() end, nrows = function(_, query)
               assert.equal("SELECT id, name, level FROM players", query)
               local i = 0
               return function()
                  i = i + 1
                  return rows[i]
               end
            end }
         end }
      end
      documentation.in_folder(function() works "Moving from SQLite" end)
      package.preload.lsqlite3, package.loaded.lsqlite3 = nil, nil
   end)
end)
