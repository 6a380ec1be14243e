-- doc/format.md, read and compared with what the library does.
local pkv = require "pkv"
local internals = require "pkv_internals"
local folder = require "spec.support.folder"

local LOG = "snapshot_1_0-of-1_diff.bin"

local function read(path)
    local file = assert(io.open(path, "rb"))
    local text = file:read "a"
    file:close()
    return text
end

local DOCUMENT = read "doc/format.md"

-- ---- Reading the document

-- The text between a heading and the next one.
local function section(title)
    local _, from = DOCUMENT:find("\n#+ " .. title .. "\n")
    assert(from, "no section " .. title)
    return DOCUMENT:sub(from + 1, (DOCUMENT:find("\n#", from, true) or 0) - 1)
end

local function bytes_of(hex)
    return (hex:gsub("%s*(%x%x)%s*", function(digits) return string.char(tonumber(digits, 16)) end))
end

-- The cells of a row, without their code marks.
local function cells_of(line)
    local cells = {}
    for cell in line:gmatch "|([^|]*)%f[|]" do
        cells[#cells + 1] = cell:match("^%s*(.-)%s*$"):gsub("`", "")
    end
    return cells
end

-- The rows, as lists of cells, of the table whose first column has that name.
local function table_in(text, first)
    local rows, inside
    for line in text:gmatch "[^\n]+" do
        if line:sub(1, 1) ~= "|" then
            inside = false
        elseif inside then
            rows[#rows + 1] = cells_of(line)
        elseif not rows and cells_of(line)[1] == first then
            rows, inside = {}, true
        end
    end
    assert(rows, "no table of " .. first)
    table.remove(rows, 1) -- the rule below the names
    assert(#rows > 0, "an empty table of " .. first)
    return rows
end

-- The lines of a block: { offset, bytes, comment }.
local function block(name)
    local text = assert(DOCUMENT:match("\n```hex " .. name .. "\n(.-)```"), "no block " .. name)
    local lines = {}
    for line in text:gmatch "[^\n]+" do
        local offset, hex, comment = line:match "^(%x+)  (%x.-)  +(.+)$"
        lines[#lines + 1] = { offset = tonumber(offset, 16), bytes = bytes_of(hex), comment = comment }
    end
    return lines
end

local function bytes_in(lines)
    local bytes = {}
    for i, line in ipairs(lines) do bytes[i] = line.bytes end
    return table.concat(bytes)
end

local log_lines, manifest_lines = block "log", block "manifest"
local log, manifest = bytes_in(log_lines), bytes_in(manifest_lines)

-- The manifest's line for a field.
local function manifest_line(field)
    for _, line in ipairs(manifest_lines) do
        if line.comment:match "^[%w_]+" == field then return line end
    end
    error("no line for " .. field)
end

-- The manifest with other bytes in place of those for some fields, and a right checksum.
local function manifest_with(changes)
    local fields = {}
    for i = 1, #manifest_lines - 1 do
        local line = manifest_lines[i]
        fields[i] = changes[line.comment:match "^[%w_]+"] or line.bytes
    end
    local bytes = table.concat(fields)
    return bytes .. "\x7d" .. string.pack("<I4", internals.checksum(0, bytes))
end

-- As section "Records" has it.
local function record_checksum(ordinal, record)
    return internals.checksum(internals.checksum(0, string.pack("<I8", ordinal)), record:sub(1, -6))
end

-- ---- Folders

local path
before_each(function() path = folder.make() end)
after_each(function()
    collectgarbage()
    folder.remove(path)
end)

local function assemble(manifest_bytes, log_bytes)
    folder.write(path, "lockfile", "")
    folder.write(path, "manifest", manifest_bytes)
    folder.write(path, LOG, log_bytes)
end

-- Opens and closes the store, and returns its content.
local function content(options)
    local store = assert(pkv.open(path, options))
    local entries = {}
    for key, value in pairs(store) do entries[key] = value end
    assert(pkv.close(store))
    return entries
end

-- All records of the log of a store that was closed, by key.
local function records()
    local bytes, found, at = folder.read(path, LOG), {}, 1
    local seed = internals.checksum_seed(1, internals.manifest_read(path).salt)
    while at <= #bytes do
        local result, size, record = internals.record_decode(bytes:sub(at), seed, "ours")
        assert.equal("ok", result)
        found[record.key] = record
        at = at + size
    end
    return found
end

local function assert_corrupt(offset)
    local store, message, code = pkv.open(path)
    assert.is_nil(store)
    assert.equal("corrupt", code)
    assert.match(LOG, message, 1, true)
    assert.match("offset " .. offset .. ":", message, 1, true)
end

-- ---- What is proven

describe("the format document's example", function()
    it("counts offsets and sizes right", function()
        for _, lines in ipairs { log_lines, manifest_lines } do
            local offset = 0
            for _, line in ipairs(lines) do
                assert.equal(offset, line.offset)
                offset = offset + #line.bytes
            end
        end
        local example = section "Example"
        assert.equal(#log, tonumber(example:match "the log of ordinal 1, (%d+) bytes:"))
        assert.equal(#manifest, tonumber(example:match "`manifest`, (%d+) bytes:"))
    end)

    it("has the checksums that the document defines", function()
        assert.equal(0xe3069283, internals.checksum(0, "123456789"))
        local seed = tonumber(section("Example"):match "begin with `(%x+)`", 16)
        assert.equal(seed, internals.checksum_seed(1))
        assert.equal(seed, internals.checksum(0, string.pack("<I8", 1)))
        for _, row in ipairs(table_in(section "Example", "record at")) do
            local record = log:sub(row[1] + 1, row[1] + row[2])
            assert.equal(tonumber(row[7], 16), record_checksum(1, record))
            assert.equal(tonumber(row[7], 16), (string.unpack("<I4", record, #record - 3)))
        end
        assert.equal(internals.checksum(0, manifest:sub(1, -6)), (string.unpack("<I4", manifest, #manifest - 3)))
    end)

    it("decodes to the records that the document tells, and they encode to its bytes", function()
        local at, again, seed = 0, {}, internals.checksum_seed(1)
        for i, row in ipairs(table_in(section "Example", "record at")) do
            assert.equal(at, tonumber(row[1]))
            local result, size, record = internals.record_decode(log:sub(at + 1), seed, "ours")
            assert.equal("ok", result)
            assert.equal(tonumber(row[2]), size)
            assert.same({
                key = row[3],
                value = row[4] ~= "unset" and bytes_of(row[4]) or nil,
                type = tonumber(row[5]),
                flushed = tonumber(row[6]),
                previous_size = 0,
            }, record)
            again[i] = internals.record_encode(record, seed)
            assert.equal(again[i], internals.record_pack(record, seed)) -- by protobuf-c
            at = at + size
        end
        assert.equal(#log, at)
        assert.equal(log, table.concat(again))
    end)

    it("decodes to the manifest that the document tells, and it encodes to its bytes", function()
        folder.write(path, "manifest", manifest)
        local told = {}
        for _, line in ipairs(manifest_lines) do
            local name, value = line.comment:match "^([%w_]+): (.+)$"
            if name then told[name] = value end
        end
        local found = assert(internals.manifest_read(path))
        assert.equal("strings", ({ "strings", "integers" })[found.keys])
        assert.equal("strings", told.keys)
        assert.equal("any", ({ "any", "strings" })[found.values])
        assert.equal("any", told.values)
        assert.equal("yes", found.clean and told.clean)
        assert.equal(tonumber(told.last_ordinal), found.last_ordinal)
        assert.same({}, found.snapshots)
        assert.same({ {
            ordinal = tonumber(told.ordinal),
            foreign = false,
            shards = { { size = tonumber(told.size), entries = 0, checksum = 0 } },
        } }, found.logs)
        assert.equal(#log, tonumber(told.size))
        assert.equal("\x08\x01", manifest:sub(1, 2))
        assert.equal("1", told.format)
        folder.write(path, "manifest", "")
        assert(internals.manifest_write(path, found))
        assert.equal(manifest, folder.read(path, "manifest"))
    end)

    it("has the check of the hash that the document defines", function()
        folder.write(path, "manifest", manifest)
        local found = assert(internals.manifest_read(path))
        assert.equal((string.unpack("<i8", manifest_line("hash_seed").bytes, 2)), found.hash_seed)
        assert.equal((string.unpack("<i8", manifest_line("hash_check").bytes, 2)), found.hash_check)
        assert.equal(1, found.hash_seed & 1)
        assert.equal(internals.hash("persistent-kv\0", found.hash_seed), found.hash_check)
    end)

    it("opens, holds its entries, and is written back byte for byte", function()
        assemble(manifest, log)
        assert.same({ age = 36 }, content())
        assert.equal(log, folder.read(path, LOG))
        assert.equal(manifest, folder.read(path, "manifest"))
        assert.equal("", folder.read(path, "lockfile"))
        assert.is_false(folder.exists(path, "manifest.new"))
    end)
end)

describe("the format document's rules", function()
    it("for zeros behind the last record: nothing is lost, and they are cut off", function()
        assemble(manifest_with { clean = "" }, log .. ("\0"):rep(10000))
        assert.same({ age = 36 }, content())
        assert.equal(log, folder.read(path, LOG))
    end)

    it("for a file that is longer than a clean manifest tells: another program's", function()
        assemble(manifest, log .. "\0")
        local store, message, code = pkv.open(path)
        assert.is_nil(store)
        assert.equal("corrupt", code)
        assert.match(LOG, message, 1, true)
    end)

    it("for an end before what the manifest tells: damage", function()
        assemble(manifest_with { clean = "" }, log:sub(1, -2))
        assert_corrupt(40)
    end)

    it("for an end behind it: a torn tail", function()
        assemble(manifest_with { clean = "", size = "\x08\x28" }, log:sub(1, -2))
        assert.same({ name = "Ada", age = 36 }, content())
        assert.equal(log:sub(1, 40), folder.read(path, LOG))
    end)

    it("for an end before a mark: damage, also where the manifest tells nothing", function()
        assemble(manifest_with { clean = "", size = "\x08\x00" }, log:sub(1, 30) .. "?" .. log:sub(32))
        assert_corrupt(17)
    end)

    it("for a record of another ordinal: it does not count", function()
        local other = internals.record_encode({ key = "name", value = "Eve" }, internals.checksum_seed(2))
        assemble(manifest_with { clean = "" }, log .. other)
        assert.same({ age = 36 }, content())
        assert.equal(log, folder.read(path, LOG))
    end)

    it("for a manifest with a wrong checksum: damage", function()
        assemble(manifest:sub(1, -2) .. "?", log)
        local store, _, code = pkv.open(path)
        assert.is_nil(store)
        assert.equal("corrupt", code)
    end)

    it("for a manifest of a higher format: refused", function()
        assemble(manifest_with { format = "\x08\x02" }, log)
        local store, _, code = pkv.open(path)
        assert.is_nil(store)
        assert.equal("usage", code)
    end)

    it("for a manifest without the seed of the hash: a new log", function()
        assemble(manifest_with { hash_seed = "", hash_check = "" }, log)
        assert.same({ age = 36 }, content())
        assert.equal("", folder.read(path, "snapshot_2_0-of-1_diff.bin"))
    end)

    it("for the example of a file name: the third of four", function()
        local name = section("Files"):match "`(snapshot_7[%w_-]+%.bin)`"
        assert.same({ ordinal = 7, shard = 2, shard_count = 4, kind = "diff" }, internals.file_name_parse(name))
    end)
end)

describe("the format document's tables", function()
    local WIRE = { varint = 0, sint64 = 0, ["8 bytes"] = 1, bytes = 2, Group = 2, Shard = 2, ["4 bytes"] = 5 }

    -- Name to number of a message of a .proto file.
    local function fields_of(file, message)
        local fields, text = {}, read("src/disk/" .. file)
        for line in text:match("\nmessage " .. message .. " {\n(.-)}"):gmatch "[^\n]+" do
            local name, number = line:match "([%w_]+) = (%d+);"
            fields[name] = tonumber(number)
        end
        return fields
    end

    local function check_fields(text, file, message)
        local found = {}
        for _, row in ipairs(table_in(text, "field")) do
            local number, name = row[1]:match "^(%d+) ([%w_]+)$"
            local wire = WIRE[row[3]:match "^[^,]+"]
            found[name] = tonumber(number)
            assert.equal(found[name] << 3 | wire, tonumber(row[2], 16), name)
        end
        assert.same(fields_of(file, message), found)
    end

    it("of fields are those of the messages", function()
        check_fields(section "Records", "record.proto", "Entry")
        local text = section "Manifest"
        local group, shard = text:find("\nGroup:\n", 1, true), text:find("\nShard:\n", 1, true)
        check_fields(text:sub(1, group), "manifest.proto", "Manifest")
        check_fields(text:sub(group, shard), "manifest.proto", "Group")
        check_fields(text:sub(shard), "manifest.proto", "Shard")
    end)

    it("of keys have the bytes that are written", function()
        for _, row in ipairs(table_in(section "Keys", "keys")) do
            local store = assert(pkv.open(path, { keys = row[1] }))
            store[math.tointeger(row[2])] = "value"
            assert(pkv.close(store))
            local record = records()[bytes_of(row[3])]
            assert.equal("value", record and record.value, row[1])
            assert.same({ [math.tointeger(row[2])] = "value" }, content { keys = row[1] })
            folder.remove(path)
            path = folder.make()
        end
    end)

    it("of values have the bytes that are written", function()
        local rows = table_in(section "Values", "value")
        local store = assert(pkv.open(path))
        for i, row in ipairs(rows) do store["k" .. i] = load("return " .. row[1])() end
        assert(pkv.close(store))
        local found = records()
        for i, row in ipairs(rows) do
            assert.equal(bytes_of(row[3]), found["k" .. i].value, row[1])
            assert.equal(tonumber(row[2]), found["k" .. i].type, row[1])
            assert.same(load("return " .. row[1])(), content()["k" .. i])
        end
    end)

    it("of types have the numbers of record.proto", function()
        local numbers = { string = "BYTES", integer = "INTEGER", float = "FLOAT", boolean = "BOOLEAN", table = "TABLE" }
        local proto = read "src/disk/record.proto"
        for _, row in ipairs(table_in(section "Values", "type")) do
            assert.match(("%s = %s;"):format(numbers[row[2]], row[1]), proto, 1, true)
        end
    end)
end)
