--- What lies behind the end of a log: how far it reaches, and what the records in it say, whatever else
-- is there, and at a price that no file can raise.
local internals = require "pkv_internals"
local folder = require "spec.support.folder"
local random = require "spec.support.random"

local NAME, ORDINAL, SALT = "snapshot_7_0-of-1_diff.bin", 7, 12345
local LARGEST = 256 << 10 -- of the records that are looked for
local SEED = internals.checksum_seed(ORDINAL, SALT)

local path
before_each(function() path = folder.make() end)
after_each(function() folder.remove(path) end)

local function examine(bytes, origin)
    folder.write(path, NAME, bytes)
    return assert(internals.examine_rest(path, NAME, SALT, origin))
end

local function record(fields)
    fields.key = fields.key or "k"
    return internals.record_encode(fields, SEED)
end

describe("the rest of a log", function()
    it("ends behind its last byte that is not zero", function()
        assert.equal(0, (examine ""))
        assert.equal(0, (examine(("\0"):rep(1000))))
        for _, size in ipairs { 1, 4095, LARGEST - 1, LARGEST, 2 * LARGEST + 1 } do
            local bytes = ("\0"):rep(size - 1) .. "x"
            assert.equal(size, (examine(bytes .. ("\0"):rep(700000))))
            assert.equal(size, (examine(bytes, "foreign")))
        end
    end)

    it("tells the highest mark of its records, wherever they lie", function()
        random.rounds(30, function()
            local parts, highest, size = {}, 0, 0
            for i = 1, math.random(0, 6) do
                local near = LARGEST * math.random(0, 2) + math.random(-40, 40) - size
                local noise = random.bytes(math.random(0, 200))
                if near > 0 then noise = noise .. ("\0"):rep(near) end
                local mark = math.random(0, 1 << 40)
                if mark > highest then highest = mark end
                local value = ("v"):rep(math.random(4) == 1 and math.random(200000) or math.random(50))
                parts[i] = noise .. record { value = value, flushed = mark }
                size = size + #parts[i]
            end
            local _, mark = examine(table.concat(parts) .. random.bytes(math.random(0, 3)))
            assert.equal(highest, mark)
        end)
    end)

    it("has no mark in a record that is torn, of another file, too large or foreign", function()
        local sound = record { value = ("v"):rep(100), flushed = 99 }
        assert.equal(99, (select(2, examine(sound))))
        for at = 1, #sound do
            local changed = string.char(sound:byte(at) ~ 1 << math.random(0, 7))
            assert.equal(0, (select(2, examine(sound:sub(1, at - 1) .. changed .. sound:sub(at + 1)))))
            assert.equal(0, (select(2, examine(sound:sub(1, at - 1)))))
        end
        assert.equal(0, (select(2, examine(sound, "foreign"))))
        local other = internals.record_encode({ key = "k", value = "v", flushed = 9 }, SEED ~ 1)
        assert.equal(0, (select(2, examine(other))))
        local large = record { value = ("v"):rep(LARGEST), flushed = 9 }
        assert.equal(0, (select(2, examine(large .. "x"))))
        assert.equal(99, (select(2, examine(large .. sound))))
    end)

    it("has no mark in what is no record though its checksum is right, and which is passed over whole", function()
        local inner = record { value = "v", flushed = 99 }
        -- a key that is longer than the message, and the field of the checksum
        local message = "\x0a\x7f" .. inner .. "\x7d"
        local sealed = string.char(#message + 4) .. message
        local sum = internals.checksum(SEED, sealed:sub(1, -2))
        assert.equal(99, (select(2, examine(sealed .. string.pack("<I4", sum ~ 1)))))
        sealed = sealed .. string.pack("<I4", sum)
        assert.equal(0, (select(2, examine(sealed))))
        assert.equal(#sealed, (examine(sealed .. ("\0"):rep(100))))
    end)
end)

describe("examining the rest of a log looks at a byte a bounded number of times", function()
    local BOUND = 34 -- a byte in twice, as the buffer goes on, and the ends of what begins at it

    local function assert_bounded(bytes)
        local _, _, examined = examine(bytes)
        assert.is_true(examined <= BOUND * #bytes, ("%d for %d bytes"):format(examined, #bytes))
    end

    local function varint(value)
        local bytes = {}
        while value > 127 do
            bytes[#bytes + 1] = string.char(value & 127 | 128)
            value = value >> 7
        end
        return table.concat(bytes) .. string.char(value)
    end

    it("where every few bytes look like the beginning and the end of a large record", function()
        -- length, tag of a key, tag of a checksum: the last lies where each of the lengths wants it
        assert_bounded((varint(262001) .. "\x0a\x7d"):rep(200000))
        assert_bounded((varint(16001) .. "\x7d\x0a"):rep(200000))
        for _, pattern in ipairs { "\xfd\xfd\x0f\x7d", "\xff\xff\x0f\x0a", "\x7d", "\x0a" } do
            assert_bounded(pattern:rep((1 << 20) // #pattern))
        end
    end)

    it("where sound records lie within each other: the outermost counts", function()
        local inner = record { value = "v", flushed = 3 }
        for mark = 4, 900 do inner = record { value = inner, flushed = mark } end
        assert_bounded(inner)
        assert.equal(900, (select(2, examine(inner))))
    end)

    it("where random bytes lie", function() assert_bounded(random.bytes(300000)) end)
end)
