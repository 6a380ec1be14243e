local internals = require "pkv_internals"
local random = require "spec.support.random"

local SEED = internals.checksum_seed(7)

local function encode(record) return internals.record_encode(record, SEED) end
local function decode(bytes) return internals.record_decode(bytes, SEED, "ours") end
local function decode_foreign(bytes) return internals.record_decode(bytes, 0, "foreign") end

-- As the reader hands it out: with all fields.
local function filled(record)
    return {
        key = record.key or "", value = record.value, type = record.type or 0,
        flushed = record.flushed or 0, previous_size = record.previous_size or 0,
    }
end

-- Protobuf by hand, for messages that record_encode would never write.
local function varint(value)
    local bytes = {}
    while value < 0 or value >= 0x80 do
        bytes[#bytes + 1] = string.char(value & 0x7f | 0x80)
        value = value >> 7
    end
    bytes[#bytes + 1] = string.char(value)
    return table.concat(bytes)
end
local function field(number, wire, payload) return varint(number << 3 | wire) .. payload end
local function bytes_field(number, bytes) return field(number, 2, varint(#bytes) .. bytes) end
local function framed(message) return varint(#message) .. message end
-- With the checksum that makes any message a record of ours.
local function sealed(fields)
    local bytes = varint(#fields + 5) .. fields
    return bytes .. "\x7d" .. string.pack("<I4", internals.checksum(SEED, bytes))
end

local samples = {
    { key = "k", value = "v" },
    { key = "k" },
    { key = "", value = "v" },
    { key = "", value = "" },
    { key = "" },
    { key = "k", value = "" },
    { key = "\0", value = "\0\0", type = 4 },
    { key = "integer", value = "12345678", type = 1 },
    { key = ("k"):rep(127), value = ("v"):rep(128), type = 3 },
    { key = ("k"):rep(20000), value = ("v"):rep(70000) },
    { key = "k", value = "v", flushed = 1, previous_size = 1 },
    { key = "k", value = "v", flushed = math.maxinteger },
    { key = "k", previous_size = -1 }, -- 2^64 - 1
}

local function random_record()
    local function number() return math.random(0, math.maxinteger) >> math.random(0, 62) end
    local record = { key = random.bytes(math.random(0, 40)), type = math.random(0, 4) }
    if math.random(4) > 1 then record.value = random.bytes(math.random(0, 300)) end
    if math.random(4) == 1 then record.flushed = number() end
    if math.random(4) == 1 then record.previous_size = number() end
    return record
end

describe("a record", function()
    it("comes back as it was written", function()
        for _, sample in ipairs(samples) do
            local bytes = encode(sample)
            local result, size, record = decode(bytes)
            assert.equal("ok", result)
            assert.equal(#bytes, size)
            assert.same(filled(sample), record)
        end
    end)

    it("is byte for byte what protobuf-c packs", function()
        for _, sample in ipairs(samples) do
            assert.equal(internals.record_pack(sample, SEED), encode(sample))
        end
        random.rounds(1000, function(seed)
            local record = random_record()
            assert.equal(internals.record_pack(record, seed), internals.record_encode(record, seed))
        end)
    end)

    it("has the bytes of the format's description", function()
        local bytes = encode { key = "ab", value = "xyz", type = 1, flushed = 300 }
        local fields = "\x13\x0a\x02ab\x12\x03xyz\x18\x01\x30\xac\x02"
        local sum = internals.checksum(SEED, fields)
        assert.equal(fields .. "\x7d" .. string.pack("<I4", sum), bytes)
    end)

    it("is read without what follows it", function()
        local bytes = encode(samples[1])
        local result, size, record = decode(bytes .. encode(samples[2]) .. ("\0"):rep(20))
        assert.equal("ok", result)
        assert.equal(#bytes, size)
        assert.same(filled(samples[1]), record)
    end)

    it("that is cut anywhere is short, and tells its size once its length is there", function()
        for _, sample in ipairs(samples) do
            local bytes = encode(sample)
            local length = #varint(#bytes - 5)
            for cut = 1, math.min(#bytes - 1, 300) do
                local result, size = decode(bytes:sub(1, cut))
                assert.equal("short", result)
                assert.equal(cut < length and 0 or #bytes, size)
            end
        end
        assert.same({ "end", 0 }, { decode("") })
    end)

    it("does not survive the flip of any bit", function()
        for _, sample in ipairs(samples) do
            local bytes = encode(sample)
            for at = 1, math.min(#bytes, 400) do
                for bit = 0, 7 do
                    local byte = string.char(bytes:byte(at) ~ (1 << bit))
                    local flipped = bytes:sub(1, at - 1) .. byte .. bytes:sub(at + 1)
                    assert.not_equal("ok", (decode(flipped)))
                    assert.not_equal("ok", (decode(flipped .. bytes)))
                end
            end
        end
    end)

    it("of another file does not count", function()
        for _, sample in ipairs(samples) do
            local bytes = encode(sample)
            local result, size =
                internals.record_decode(bytes, internals.checksum_seed(8), "ours")
            assert.equal("bad", result)
            assert.equal(#bytes, size)
        end
    end)

    it("is not there where nothing was written", function()
        assert.same({ "end", 0 }, { decode("\0") })
        assert.same({ "end", 0 }, { decode(("\0"):rep(100)) })
    end)

    it("without a checksum is none of ours", function()
        assert.equal("bad", (decode(framed(bytes_field(1, "k") .. bytes_field(2, "v")))))
        for size = 1, 4 do assert.equal("bad", (decode(framed(("\x7d"):rep(size))))) end
    end)

    it("whose checksum is not the last field is none of ours", function()
        local inner = field(15, 5, "\1\2\3\4")
        assert.equal("bad", (decode(sealed(inner))))
        assert.equal("bad", (decode(sealed(bytes_field(1, "k") .. inner))))
        -- nor one whose checksum is the inside of another field
        assert.equal("bad", (decode(sealed("\x12\x05"))))
    end)

    it("that claims to be longer than any record is bad, not short", function()
        local limit = (16 << 20) + (1 << 30) + 64
        assert.same({ "short", limit + 5 }, { decode(varint(limit)) })
        assert.same({ "bad", 0 }, { decode(varint(limit + 1)) })
        assert.same({ "bad", 0 }, { decode(varint(1 << 62)) })
        assert.same({ "bad", 0 }, { decode(varint(-1)) })
        assert.same({ "bad", 0 }, { decode(("\xff"):rep(10)) })
        assert.same({ "bad", 0 }, { decode(("\xff"):rep(100)) })
        assert.same({ "short", 0 }, { decode(("\xff"):rep(9)) })
        assert.same({ "bad", 0 }, { decode_foreign(varint(limit + 1)) })
    end)

    it("with a key over the limit is bad", function()
        local key = ("k"):rep(16 << 20)
        assert.equal("ok", (decode(encode { key = key, value = "v" })))
        assert.equal("bad", (decode(encode { key = key .. "k", value = "v" })))
        assert.equal("bad", (decode_foreign(encode { key = key .. "k", value = "v" })))
    end)

    it("is bad where a length inside goes beyond its end", function()
        for _, number in ipairs { 1, 2, 5, 99 } do
            for _, length in ipairs { 4, 100, 1 << 31, 1 << 32, 1 << 62, math.maxinteger, -1 } do
                local fields = field(number, 2, varint(length) .. "abc")
                assert.equal("bad", (decode(sealed(fields))))
                assert.equal("bad", (decode_foreign(framed(fields))))
            end
        end
    end)

    it("is bad where a known field has another wire type", function()
        local payloads = { [0] = "\1", [1] = ("x"):rep(8), [2] = "\1x", [5] = "abcd" }
        local right = { 2, 2, 0, 0, 2, 0, 0, [15] = 5 }
        for number, wire in pairs(right) do
            for other, payload in pairs(payloads) do
                local fields = field(number, other, payload)
                local expected = other == wire and "ok" or "bad"
                assert.equal(expected, (decode_foreign(framed(fields))))
                if number ~= 15 then assert.equal(expected, (decode(sealed(fields)))) end
            end
        end
    end)

    it("may hold fields of later versions, between and after the known ones", function()
        local unknown = field(4, 0, varint(-1)) .. bytes_field(5, "x") .. field(8, 0, "\1") ..
            field(9, 1, ("x"):rep(8)) .. bytes_field(16, ("y"):rep(200)) .. field(17, 5, "abcd") ..
            bytes_field((1 << 29) - 1, "")
        local fields = unknown .. bytes_field(2, "v") .. unknown .. bytes_field(1, "k") .. unknown
        local result, _, record = decode(sealed(fields))
        assert.equal("ok", result)
        assert.same(filled { key = "k", value = "v" }, record)
    end)

    it("is bad where there is no such field", function()
        for _, fields in ipairs { field(0, 0, "\1"), field(0, 2, "\0"), field(1 << 29, 0, "\1"),
            field(20, 3, ""), field(20, 3, field(20, 4, "")), field(20, 4, ""), field(20, 6, ""),
            field(20, 7, ""), "\xff", ("\xff"):rep(20), field(20, 0, ("\xff"):rep(10)),
            field(20, 0, "\x80"), field(20, 1, "1234567"), field(20, 5, "123") } do
            assert.equal("bad", (decode(sealed(fields))))
            assert.equal("bad", (decode_foreign(framed(fields))))
        end
    end)

    it("has the last of a repeated field, as protobuf wants it", function()
        local fields = bytes_field(1, "a") .. bytes_field(2, "b") .. bytes_field(1, "c") ..
            bytes_field(2, "")
        local result, _, record = decode(sealed(fields))
        assert.equal("ok", result)
        assert.same(filled { key = "c", value = "" }, record)
    end)

    it("of an unknown type is bad", function()
        assert.equal("ok", (decode(sealed(field(3, 0, "\4")))))
        assert.equal("bad", (decode(sealed(field(3, 0, "\5")))))
        assert.equal("bad", (decode(sealed(field(3, 0, varint(-1))))))
        assert.equal("bad", (decode(sealed(field(3, 0, varint(1 << 32))))))
    end)
end)

describe("a record of the crate", function()
    it("is read without a checksum", function()
        local bytes = framed(bytes_field(1, "k") .. bytes_field(2, "v"))
        local result, size, record = decode_foreign(bytes .. "rest")
        assert.equal("ok", result)
        assert.equal(#bytes, size)
        assert.same(filled { key = "k", value = "v" }, record)
    end)

    it("unsets the key where the value is absent", function()
        local result, _, record = decode_foreign(framed(bytes_field(1, "k")))
        assert.equal("ok", result)
        assert.same(filled { key = "k" }, record)
    end)

    -- The crate never writes one; our own files, whose manifest is gone, may hold it.
    it("sets an empty value where that is present", function()
        local fields = bytes_field(1, "k") .. bytes_field(2, "")
        local result, _, record = decode_foreign(framed(fields))
        assert.equal("ok", result)
        assert.same(filled { key = "k", value = "" }, record)
    end)

    it("of zero length unsets the empty key", function()
        local result, size, record = decode_foreign("\0")
        assert.equal("ok", result)
        assert.equal(1, size)
        assert.same(filled { key = "" }, record)
        assert.same({ "end", 0 }, { decode_foreign("") })
    end)

    it("that is cut anywhere is short", function()
        local bytes = framed(bytes_field(1, "key") .. bytes_field(2, ("v"):rep(200)))
        for cut = 1, #bytes - 1 do
            assert.equal("short", (decode_foreign(bytes:sub(1, cut))))
        end
    end)

    -- Our own files, whose manifest is gone.
    it("may be one of ours: its type counts, its checksum does not", function()
        local bytes = encode { key = "k", value = "12345678", type = 2 }
        local result, _, record = decode_foreign(bytes:sub(1, -2) .. "!")
        assert.equal("ok", result)
        assert.same(filled { key = "k", value = "12345678", type = 2 }, record)
    end)

    it("of an unknown type is bytes", function()
        local fields = bytes_field(1, "k") .. bytes_field(2, "v") .. field(3, 0, "\9")
        local result, _, record = decode_foreign(framed(fields))
        assert.equal("ok", result)
        assert.equal(0, record.type)
    end)
end)

describe("reading hostile bytes", function()
    -- protobuf-c lets some varints through that do not fit 64 bits, hence one direction only.
    local function agrees_with_protobuf(message)
        local result, _, record = decode_foreign(framed(message))
        if result ~= "ok" then return end
        local other = internals.record_unpack(message)
        assert.is_not_nil(other)
        if other.type < 0 or other.type > 4 then other.type = 0 end
        -- An enum is 32 bits to protobuf-c, which drops the rest of a longer number.
        if record.type == 0 then other.type = 0 end
        assert.same(other, record)
    end

    it("never accepts what protobuf-c refuses, nor reads it in another way", function()
        random.rounds(5000, function()
            agrees_with_protobuf(random.bytes(math.random(1, 12)))
        end)
        random.rounds(5000, function()
            local bytes = encode(random_record())
            local message = bytes:sub(#varint(#bytes) + 1)
            for _ = 1, math.random(3) do
                local at = math.random(#message)
                local byte = string.char(math.random(0, 255))
                message = message:sub(1, at - 1) .. byte .. message:sub(at + math.random(0, 2))
            end
            agrees_with_protobuf(message)
        end)
    end)

    it("answers random bytes of any length without reading beyond them", function()
        random.rounds(5000, function(seed)
            local bytes = random.bytes(math.random(0, 40))
            assert.not_equal("ok", (internals.record_decode(bytes, seed, "ours")))
            internals.record_decode(bytes, seed, "foreign")
        end)
    end)
end)
