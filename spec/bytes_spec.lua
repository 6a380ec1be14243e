local internals = require "pkv_internals"
local random = require "spec.support.random"

describe("the checksum", function()
    it("is CRC-32C", function()
        assert.equal(0, internals.checksum(0, ""))
        assert.equal(0xE3069283, internals.checksum(0, "123456789"))
        -- RFC 3720, B.4
        assert.equal(0x8A9136AA, internals.checksum(0, ("\0"):rep(32)))
        assert.equal(0x62A8AB43, internals.checksum(0, ("\xff"):rep(32)))
    end)

    it("is the same by the processor and by tables, for every length and alignment", function()
        random.rounds(1, function()
            local bytes = random.bytes(2500)
            for size = 0, #bytes do
                local begin = math.random(0, 0xffffffff)
                local part = bytes:sub(-size - 1)
                assert.equal(internals.checksum_portable(begin, part),
                    internals.checksum(begin, part))
            end
        end)
    end)

    it("can be continued from any point", function()
        random.rounds(1, function()
            local bytes = random.bytes(1700)
            local whole = internals.checksum(0, bytes)
            for cut = 0, #bytes do
                local first = internals.checksum(0, bytes:sub(1, cut))
                assert.equal(whole, internals.checksum(first, bytes:sub(cut + 1)))
            end
        end)
    end)

    it("of a part follows from those of the beginnings", function()
        random.rounds(1, function()
            local bytes = random.bytes(3000)
            for _ = 1, 500 do
                local from = math.random(0, #bytes)
                local upto = math.random(from, #bytes)
                local begin = math.random(0, 0xffffffff)
                local before, after = internals.checksum(0, bytes:sub(1, from)),
                    internals.checksum(0, bytes:sub(1, upto))
                assert.equal(internals.checksum(begin, bytes:sub(from + 1, upto)),
                    internals.checksum_over(begin ~ before, upto - from) ~ after)
            end
            for _, size in ipairs { 0, 1, 1 << 20, (1 << 24) + 5 } do
                assert.equal(internals.checksum(7, ("\0"):rep(size)),
                    internals.checksum_over(7, size) ~ internals.checksum(0, ("\0"):rep(size)))
            end
        end)
    end)

    it("of records begins with the ordinal's 8 bytes, and the salt's", function()
        for _, ordinal in ipairs { 0, 1, 2, 255, 256, 1 << 40, math.maxinteger } do
            assert.equal(internals.checksum(0, string.pack("<i8", ordinal)),
                internals.checksum_seed(ordinal))
            assert.equal(internals.checksum(0, string.pack("<i8i8", ordinal, 1 << 63)),
                internals.checksum_seed(ordinal, 1 << 63))
        end
    end)
end)

-- Number of bits in which two integers differ.
local function distance(a, b)
    local difference, bits = a ~ b, 0
    while difference ~= 0 do
        difference = difference & (difference - 1)
        bits = bits + 1
    end
    return bits
end

describe("the hash", function()
    it("depends on every byte, on the length and on the seed", function()
        random.rounds(1, function(seed)
            for size = 1, 200 do
                local bytes = random.bytes(size)
                local hash = internals.hash(bytes, seed)
                assert.equal(hash, internals.hash(bytes, seed))
                assert.not_equal(hash, internals.hash(bytes, seed + 1))
                assert.not_equal(hash, internals.hash(bytes .. "\0", seed))
                for at = 1, size do
                    local byte = string.char(bytes:byte(at) ~ (1 << math.random(0, 7)))
                    local other = bytes:sub(1, at - 1) .. byte .. bytes:sub(at + 1)
                    assert.not_equal(hash, internals.hash(other, seed))
                end
            end
        end)
    end)

    it("tells keys of equal bytes apart by their length", function()
        for _, byte in ipairs { "\0", "a", "\xff" } do
            local seen = {}
            for size = byte == "\0" and 0 or 1, 200 do
                local hash = internals.hash(byte:rep(size), 42)
                assert.is_nil(seen[hash])
                seen[hash] = true
            end
        end
    end)

    it("changes half of its bits when one bit of the key changes", function()
        random.rounds(1, function(seed)
            for _, size in ipairs { 1, 4, 8, 12, 16, 17, 33, 64, 65, 130 } do
                local sum, count = 0, 1000
                for _ = 1, count do
                    local bytes, at = random.bytes(size), math.random(1, size)
                    local byte = string.char(bytes:byte(at) ~ (1 << math.random(0, 7)))
                    local other = bytes:sub(1, at - 1) .. byte .. bytes:sub(at + 1)
                    sum = sum + distance(internals.hash(bytes, seed), internals.hash(other, seed))
                end
                local mean = sum / count -- standard deviation 4 / sqrt(1000)
                assert.is_true(mean > 31 and mean < 33, size .. " bytes: " .. mean .. " bits")
            end
        end)
    end)

    it("spreads consecutive integers evenly, by low bits and by high bits", function()
        random.rounds(1, function(seed)
            local low, high = {}, {}
            for i = 0, 65535 do
                local hash = internals.hash(string.pack("<i8", i), seed)
                local l, h = hash & 255, hash >> 56
                low[l] = (low[l] or 0) + 1
                high[h] = (high[h] or 0) + 1
            end
            for i = 0, 255 do -- expected 256, standard deviation 16
                assert.is_true(low[i] > 256 - 112 and low[i] < 256 + 112, "low " .. low[i])
                assert.is_true(high[i] > 256 - 112 and high[i] < 256 + 112, "high " .. high[i])
            end
        end)
    end)

    -- Were a factor of a product known, keys that make it 0 would collide whatever the seed.
    it("cannot be made to collide by words that equal its constants", function()
        local constants = { 0x243f6a8885a308d3, 0x13198a2e03707345, 0xa4093822299f31d1,
            0x082efa98ec4e6c89, 0x452821e638d01377 }
        for _, constant in ipairs(constants) do
            local seen = {}
            for i = 1, 100 do
                for _, shape in ipairs { "<i8i8i8i8", "<i8i8" } do
                    local hash = internals.hash(shape:pack(constant, i, 7, 8), 42)
                    assert.is_nil(seen[hash])
                    seen[hash] = true
                    hash = internals.hash(shape:pack(i, constant, 7, 8), 42)
                    assert.is_nil(seen[hash])
                    seen[hash] = true
                end
            end
        end
    end)
end)
