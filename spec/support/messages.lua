--- What the sources can say, and what is expected somewhere: texts with a mark where something is filled in.
--
-- The library and its faces never print but what they tell, so each literal that is a sentence is a message,
-- or a part of one. What is expected is what specs compare with, but for titles; what message_check.c does; and
-- the lists in spec/messages, which the fault checks compare with what they have heard.
local helper = require "spec.support.helper"

local messages = {}

local MARK = "\1"
local ESCAPES = { n = "\n", t = "\t" }

local function paths_of(command)
   local paths = {}
   local pipe = assert(io.popen(command))
   for path in pipe:lines() do paths[#paths + 1] = path end
   pipe:close()
   table.sort(paths)
   return paths
end

--- Where the literal or comment that begins at `at` ends, and the literal's text; nothing for code.
local function piece_at(source, at, is_lua)
   local c, two = source:sub(at, at), source:sub(at, at + 1)
   local level = is_lua and (source:match("^%-%-%[(=*)%[", at) or source:match("^%[(=*)%[", at))
   if level then
      local _, upto = source:find("]" .. level .. "]", at, true)
      return upto, two ~= "--" and source:sub(at + #level + 2, upto - #level - 2) or nil
   elseif two == (is_lua and "--" or "//") then
      return (source:find("\n", at, true) or #source + 1) - 1
   elseif two == "/*" and not is_lua then
      return (select(2, source:find("*/", at, true)))
   elseif c == '"' or c == "'" then
      local upto = at + 1
      while source:sub(upto, upto) ~= c do upto = upto + (source:sub(upto, upto) == "\\" and 2 or 1) end
      local text = source:sub(at + 1, upto - 1):gsub("\\(.)", function(escaped) return ESCAPES[escaped] or escaped end)
      return upto, (is_lua or c == '"') and text or nil
   end
end

--- Calls f(code, text, line) for each literal, with the code before it, and at the end without one.
local function each_literal(source, is_lua, f)
   local at, line, code = 1, 1, {}
   while at <= #source do
      local upto, text = piece_at(source, at, is_lua)
      if text then
         f(table.concat(code), text, line)
         code = {}
      elseif not upto then
         code[#code + 1] = source:sub(at, at)
      end
      line = line + select(2, source:sub(at, upto or at):gsub("\n", ""))
      at = (upto or at) + 1
   end
end

--- What code between two literals makes of them: one text, with or without a mark between, or nil: two.
local function joint(code, is_lua)
   if is_lua then
      if code:find "^%s*%.%.%s*$" then return "" end
      return #code < 200 and code:find "^%s*%.%..*%.%.%s*$" and MARK or nil
   end
   if code:find "^%s*PRI[diux]64%s*$" then return "llu" end
   return code:find "^%s*$" and "" or code:find "^%s*[A-Z_]+%s*$" and MARK or nil
end

--- The texts of a file, which may be of several literals: { text =, at = "file:line", before = the code }.
local function texts_of(path)
   local texts, is_lua = {}, path:find "%.lua$" ~= nil
   each_literal(helper.read(path), is_lua, function(code, text, line)
      local last = texts[#texts]
      local between = last and joint(code, is_lua)
      if between then
         last.text = last.text .. between .. text
      else
         texts[#texts + 1] = { text = text, at = path .. ":" .. line, before = code }
      end
   end)
   return texts
end

--- A text of a source as a pattern: where something is filled in, anything may stand. And its longest fixed part.
local function pattern_of(text)
   local marked = text:gsub("%%%%", "\2"):gsub("%%[-0-9.*]*[lzhj]*%a", MARK):gsub("%%$", MARK):gsub("\2", "%%")
   local longest = ""
   for fixed in marked:gmatch("[^" .. MARK .. "]+") do longest = #fixed > #longest and fixed or longest end
   local pattern = marked:gsub("%p", "%%%0"):gsub(MARK .. "+", ".-")
   return pattern, longest
end

--- What stands in a spec, be it a pattern or a format, as a text.
local function plain(text)
   text = text:gsub("%%(%p)", "%1"):gsub("%.[*+-]", MARK):gsub("%[[^%]]*%][*+-]", MARK)
   return (text:gsub("%%[-0-9.]*%a[*+-]?", MARK))
end

local function is_sentence(text)
   return text:find "%l%l" and text:find "%S %S" and not text:find "^[.#]"
end

--- What of a face is no message: the command's help and figures, and Prometheus's help.
local function is_message(path, found)
   if path:find "^src/cli/" then
      return found.before:find "complain%([^;]*$" or found.before:find "{PKV_[%w_]+, EXIT_[%w_]+,%s*$"
   end
   local is_code = path:find "%.lua$" and found.text:find "[*{]"
   return not is_code and not (path:find "prometheus" and found.text:find "%.$")
end

--- All that the sources can say: a list of { text =, at =, pattern =, fixed = }.
function messages.said()
   local list = {}
   for _, path in ipairs(paths_of "find src lua -name '*.c' -o -name '*.[h]' -o -name '*.lua'") do
      if not path:find "pb%-c" and not path:find "simulated" then
         for _, found in ipairs(texts_of(path)) do
            if is_sentence(found.text) and is_message(path, found) then
               found.pattern, found.fixed = pattern_of(found.text)
               list[#list + 1] = found
            end
         end
      end
   end
   return list
end

local function is_title(before) return before:find "[^%w_]it[%s(]*$" or before:find "describe[%s(]*$" end

--- All that is expected: a list of texts.
function messages.expected()
   local list = {}
   for _, path in ipairs(paths_of "ls spec/*_spec.lua") do
      for _, found in ipairs(path == "spec/message_spec.lua" and {} or texts_of(path)) do
         if not is_title(found.before) then list[#list + 1] = plain(found.text) end
      end
   end
   for _, found in ipairs(texts_of "spec/support/message_check.c") do list[#list + 1] = found.text end
   for _, path in ipairs(paths_of "ls spec/messages/*.txt") do
      for line in helper.read(path):gmatch "[^\n]+" do list[#list + 1] = line end
   end
   return list
end

return messages
