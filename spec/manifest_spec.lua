local internals = require "pkv_internals"
local lfs = require "lfs"
local folder = require "spec.support.folder"
local random = require "spec.support.random"

local function shards(count, first)
    local list = {}
    for i = 1, count do
        list[i] = { size = (first or 0) + i, entries = i * 1000, checksum = 0xffffffff - i }
    end
    return list
end

local function sample()
    return {
        keys = 2, key_type = 1, values = 17, last_ordinal = 1 << 40, clean = true,
        hash_seed = -3, hash_check = 1 << 62, salt = 1 << 63,
        snapshots = {
            { ordinal = 1, foreign = true, shards = shards(1) },
            { ordinal = 4, foreign = false, shards = shards(3, math.maxinteger - 10) },
        },
        logs = {
            { ordinal = 2, foreign = true, shards = shards(2) },
            { ordinal = 5, foreign = false, shards = shards(1) },
            { ordinal = 1 << 40, foreign = false, shards = shards(64) },
        },
    }
end

local function empty()
    return { keys = 0, key_type = 0, values = 0, last_ordinal = 0, clean = false,
        hash_seed = 0, hash_check = 0, salt = 0,
        snapshots = {}, logs = {} }
end

-- Protobuf by hand, for manifests that manifest_write would never write.
local function varint(value)
    local bytes = {}
    while value < 0 or value >= 0x80 do
        bytes[#bytes + 1] = string.char(value & 0x7f | 0x80)
        value = value >> 7
    end
    bytes[#bytes + 1] = string.char(value)
    return table.concat(bytes)
end
local function number(field, value) return varint(field << 3) .. varint(value) end
local function message(field, bytes) return varint(field << 3 | 2) .. varint(#bytes) .. bytes end
local function group(ordinal, shard_count, size)
    return number(1, ordinal) .. message(2, number(1, size or 1)):rep(shard_count)
end
local function sealed(fields)
    return fields .. "\x7d" .. string.pack("<I4", internals.checksum(0, fields))
end
local format = number(1, 1)

describe("a manifest", function()
    local path
    before_each(function() path = folder.make() end)
    after_each(function() folder.remove(path) end)

    local function assert_refused(code, bytes, pattern)
        folder.write(path, "manifest", bytes)
        local manifest, text, status, file = internals.manifest_read(path)
        assert.is_nil(manifest)
        assert.equal(code, status, text)
        assert.equal("manifest", file)
        assert.matches("manifest", text)
        if pattern then assert.matches(pattern, text) end
    end

    -- It is corrupt, for this reason.
    local function assert_unbelievable(bytes, reason)
        folder.write(path, "manifest", bytes)
        local _, text = internals.manifest_read(path)
        assert.equal(("manifest cannot be believed: %s; restore the folder from a backup, or salvage what can be " ..
            "read with `pkv repair`"):format(reason), text)
        assert_refused("corrupt", bytes)
    end

    it("that is not there is no error", function()
        assert.is_false(internals.manifest_read(path))
    end)

    it("comes back as it was written", function()
        for _, manifest in ipairs { sample(), empty() } do
            assert.is_true(internals.manifest_write(path, manifest))
            assert.same(manifest, internals.manifest_read(path))
            assert.is_false(folder.exists(path, "manifest.new"))
        end
    end)

    it("is readable by its owner only", function()
        assert.is_true(internals.manifest_write(path, sample()))
        assert.equal("rw-------", lfs.attributes(path .. "/manifest", "permissions"))
    end)

    it("may have as many shards as file names may", function()
        local manifest = empty()
        manifest.last_ordinal = 1
        manifest.logs[1] = { ordinal = 1, foreign = false, shards = shards(65536) }
        assert.is_true(internals.manifest_write(path, manifest))
        assert.equal(65536, #internals.manifest_read(path).logs[1].shards)
    end)

    it("does not survive being cut anywhere", function()
        assert.is_true(internals.manifest_write(path, sample()))
        local bytes = folder.read(path, "manifest")
        for size = 0, #bytes - 1 do assert_refused("corrupt", bytes:sub(1, size), "backup") end
    end)

    it("does not survive the flip of any bit, nor a byte more", function()
        assert.is_true(internals.manifest_write(path, sample()))
        local bytes = folder.read(path, "manifest")
        for at = 1, #bytes do
            local bit = (at - 1) % 8
            local byte = string.char(bytes:byte(at) ~ (1 << bit))
            assert_refused("corrupt", bytes:sub(1, at - 1) .. byte .. bytes:sub(at + 1))
        end
        local small = sealed(format .. message(8, group(1, 1)) .. number(5, 1))
        for at = 1, #small do
            for bit = 0, 7 do
                local byte = string.char(small:byte(at) ~ (1 << bit))
                assert_refused("corrupt", small:sub(1, at - 1) .. byte .. small:sub(at + 1))
            end
        end
        assert_refused("corrupt", bytes .. "\0")
        assert_refused("corrupt", bytes .. bytes:sub(-5))
    end)

    it("is not followed where it is a link", function()
        assert.is_true(internals.manifest_write(path, sample()))
        assert.is_true(os.rename(path .. "/manifest", path .. "/elsewhere"))
        assert(lfs.link("elsewhere", path .. "/manifest", true))
        local manifest, text, code = internals.manifest_read(path)
        assert.is_nil(manifest)
        assert.equal("io", code)
        assert.matches("manifest", text)
    end)

    it("is not a folder", function()
        assert(lfs.mkdir(path .. "/manifest"))
        local manifest, text, code = internals.manifest_read(path)
        assert.is_nil(manifest)
        assert.equal("io", code)
        assert.matches("regular file", text)
    end)

    it("of a newer version says so", function()
        assert_refused("usage", sealed(number(1, 2)), "^manifest is of format 2, and this version of the library " ..
            "knows formats up to 1; open the store with the newer version that wrote it$")
        assert_refused("usage", sealed(number(1, 2) .. message(8, group(0, 0))), "newer")
    end)

    it("of no version is corrupt", function()
        assert_unbelievable(sealed(""), "it names no format")
        assert_unbelievable(sealed(number(5, 1)), "it names no format")
    end)

    it("that is empty, or damaged, is corrupt", function()
        assert_unbelievable("", "it is empty")
        assert_unbelievable(sealed(format):gsub(".$", "?"), "its checksum is wrong")
    end)

    it("may hold fields of later versions", function()
        local fields = format .. number(5, 1) .. number(12, 1) .. message(14, "x") .. number(16, 1)
        folder.write(path, "manifest", sealed(fields))
        assert.equal(1, internals.manifest_read(path).last_ordinal)
    end)

    it("is believed only where it makes sense, whatever its checksum", function()
        local last = number(5, 10)
        for reason, list in pairs {
            ["its ordinals do not ascend from 1"] = {
                last .. message(8, group(0, 1)),
                last .. message(8, group(2, 1)) .. message(8, group(1, 1)),
                last .. message(8, group(2, 1)) .. message(8, group(2, 1)),
                last .. message(7, group(2, 1)) .. message(7, group(2, 1)),
            },
            ["it has an ordinal beyond the last one"] = {
                last .. message(8, group(11, 1)), last .. message(7, group(11, 1)), message(8, group(1, 1)),
                last .. message(8, group(-1, 1)),
            },
            ["it has files of no shards"] = { last .. message(8, group(1, 0)) },
            ["it has files of too many shards"] = { last .. message(8, group(1, 65537)) },
            ["it has an impossible file size"] = {
                last .. message(8, group(1, 1, -1)), last .. message(7, group(1, 1, 1 << 63)),
            },
            ["an ordinal is both a snapshot and a log"] = {
                last .. message(7, group(2, 1)) .. message(8, group(2, 1)),
                last .. message(7, group(1, 1)) .. message(8, group(2, 1)) .. message(7, group(3, 1)) ..
                    message(8, group(3, 1)),
            },
            ["its last ordinal is out of range"] = { number(5, -1), number(5, 1 << 63) },
            ["its kind of keys is unknown"] = { number(2, 3), number(2, 1 << 31) },
            ["its integer type of keys is unknown"] = { number(3, 9) },
            ["its kind of values is unknown"] = { number(4, 5), number(4, 16), number(4, 25) },
        } do
            for _, fields in ipairs(list) do assert_unbelievable(sealed(format .. fields), reason) end
        end
    end)

    it("is not believed where it has too many parts, or asks for too much memory", function()
        local half = message(8, group(1, 50000)) .. message(7, group(2, 50000))
        assert_unbelievable(sealed(format .. number(5, 10) .. half), "it has too many snapshots, logs and shards")
        assert_unbelievable(sealed(format .. number(12, 0):rep(1 << 20)), "it has too many fields")
    end)

    it("that is no protobuf message is refused, whatever its checksum", function()
        for _, fields in ipairs {
            "\xff", "\0", format .. "\x3a\x7f", format .. "\x42\xff\xff\xff\xff\x0f",
            format .. message(8, "\x12\x05"), format .. number(7, 1), format .. "\x0b",
            format .. "\x38", ("\xff"):rep(100),
        } do
            assert_unbelievable(sealed(fields), "it is no manifest message")
        end
    end)

    it("whose checksum is the inside of another field is refused", function()
        assert_unbelievable(sealed(format .. "\x9a\x06\x05"), "its checksum is not its last field")
    end)

    it("is never read beyond its end, and never crashes, whatever it holds", function()
        random.rounds(300, function()
            local fields = format .. number(5, 10) .. message(7, group(1, 2)) ..
                message(8, group(3, 2))
            for _ = 1, math.random(3) do
                local at = math.random(#fields)
                local byte = string.char(math.random(0, 255))
                fields = fields:sub(1, at - 1) .. byte .. fields:sub(at + math.random(0, 2))
            end
            folder.write(path, "manifest", sealed(fields))
            local manifest, text = internals.manifest_read(path)
            assert.is_true(manifest ~= nil or text:find("manifest", 1, true) ~= nil)
        end)
    end)

    it("that is larger than any manifest is not even read", function()
        local file = assert(io.open(path .. "/manifest", "wb"))
        assert(file:seek("set", 64 << 20))
        assert(file:write("x"))
        assert(file:close())
        local manifest, text, code = internals.manifest_read(path)
        assert.is_nil(manifest)
        assert.equal("corrupt", code)
        assert.matches("larger", text)
    end)
end)

describe("replacing a manifest", function()
    local path
    before_each(function()
        path = folder.make()
        assert.is_true(internals.manifest_write(path, sample()))
    end)
    after_each(function() folder.remove(path) end)

    local function assert_write_fails(manifest, code)
        local ok, text, status = internals.manifest_write(path, manifest)
        assert.is_nil(ok)
        assert.equal(code, status, text)
    end

    it("does not mind what a crash left of an earlier attempt", function()
        folder.write(path, "manifest.new", ("x"):rep(100000))
        assert.is_true(internals.manifest_write(path, empty()))
        assert.same(empty(), internals.manifest_read(path))
    end)

    it("writes through no link", function()
        folder.write(path, "precious", "untouched")
        assert(lfs.link("precious", path .. "/manifest.new", true))
        assert.is_true(internals.manifest_write(path, empty()))
        assert.equal("untouched", folder.read(path, "precious"))
        assert.same(empty(), internals.manifest_read(path))
    end)

    it("that fails leaves the old one in force", function()
        assert(lfs.mkdir(path .. "/manifest.new"))
        assert_write_fails(empty(), "io")
        assert.same(sample(), internals.manifest_read(path))
    end)

    it("that fails leaves no new one behind", function()
        assert(os.remove(path .. "/manifest"))
        assert(lfs.mkdir(path .. "/manifest"))
        assert_write_fails(empty(), "io")
        assert.is_false(folder.exists(path, "manifest.new"))
    end)

    it("refuses one that could not be read back", function()
        local function refused(change)
            local manifest = sample()
            change(manifest)
            assert_write_fails(manifest, "usage")
        end
        refused(function(m) m.last_ordinal = 4 end)
        local manifest = sample()
        manifest.last_ordinal = 4
        local _, text = internals.manifest_write(path, manifest)
        assert.equal("manifest is not written: it has an ordinal beyond the last one", text)
        refused(function(m) m.last_ordinal = -1 end)
        refused(function(m) m.keys = 3 end)
        refused(function(m) m.key_type = 9 end)
        refused(function(m) m.values = 16 end)
        refused(function(m) m.snapshots[1].ordinal = 0 end)
        refused(function(m) m.snapshots[1].ordinal = 4 end)
        refused(function(m) m.snapshots[2].ordinal = 5 end)
        refused(function(m) m.logs[1].shards = {} end)
        refused(function(m) m.logs[1].shards[1].size = -1 end)
        refused(function(m) m.logs[1].shards = shards(65537) end)
        refused(function(m) m.logs[1].shards, m.logs[2].shards = shards(50000), shards(50000) end)
        assert.same(sample(), internals.manifest_read(path))
        assert.is_false(folder.exists(path, "manifest.new"))
    end)
end)

describe("a manifest in memory", function()
    it("is copied with all that it holds", function()
        assert.same(sample(), internals.manifest_copy(sample()))
        assert.same(empty(), internals.manifest_copy(empty()))
    end)

    it("loses a group by ordinal, and no other", function()
        local expected = sample()
        table.remove(expected.logs, 2)
        assert.same(expected, internals.manifest_without(sample(), 5))
        expected = sample()
        table.remove(expected.logs, 3)
        assert.same(expected, internals.manifest_without(sample(), 1 << 40))
        expected = sample()
        table.remove(expected.snapshots, 1)
        assert.same(expected, internals.manifest_without(sample(), 1))
        assert.same(sample(), internals.manifest_without(sample(), 3))
    end)

    it("has the newest snapshot in force", function()
        assert.equal(4, internals.manifest_snapshot(sample()))
        assert.is_nil(internals.manifest_snapshot(empty()))
    end)
end)
