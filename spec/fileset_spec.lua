local internals = require "pkv_internals"
local folder = require "spec.support.folder"

describe("a file name", function()
    it("says ordinal, shard, number of shards and kind", function()
        assert.same({ ordinal = 12, shard = 3, shard_count = 10, kind = "diff" },
            internals.file_name_parse "snapshot_12_3-of-10_diff.bin")
        assert.same({ ordinal = 1, shard = 0, shard_count = 1, kind = "pending" },
            internals.file_name_parse "snapshot_1_0-of-1_pending.bin")
        assert.same({ ordinal = 900000000000, shard = 9, shard_count = 10, kind = "full" },
            internals.file_name_parse "snapshot_900000000000_9-of-10_full.bin")
    end)

    it("that was read is written back the same", function()
        for _, text in ipairs {
            "snapshot_0_0-of-1_diff.bin", "snapshot_1_63-of-64_full.bin",
            "snapshot_9223372036854775807_65535-of-65536_pending.bin",
        } do
            assert.equal(text, internals.file_name_format(internals.file_name_parse(text)))
        end
    end)

    it("is nothing else", function()
        for _, text in ipairs {
            "", "snapshot", "snapshot_", "lockfile", "manifest", "other_file.txt",
            "snapshot_1_0-of-1_diff", "snapshot_1_0-of-1_diff.bin~", "snapshot_1_0-of-1_diff.bin.bin",
            "snapshot_1_0-of-1_diff.BIN", "snapshot_1_0-of-1_diffx.bin", "snapshot_1_0-of-1_.bin",
            "snapshot_1_0-of-1_other.bin", "snapshot_1_0_of_1_diff.bin", "snapshot_1-0-of-1_diff.bin",
            "xsnapshot_1_0-of-1_diff.bin", " snapshot_1_0-of-1_diff.bin", "Snapshot_1_0-of-1_diff.bin",
            "snapshot_-1_0-of-1_diff.bin", "snapshot_+1_0-of-1_diff.bin", "snapshot_ 1_0-of-1_diff.bin",
            "snapshot_1_-0-of-1_diff.bin", "snapshot__0-of-1_diff.bin", "snapshot_1_-of-1_diff.bin",
            "snapshot_1_0-of-_diff.bin", "snapshot_0x1_0-of-1_diff.bin", "snapshot_1.0_0-of-1_diff.bin",
            "snapshot_1_0-of-1_diff.bin/", "a/snapshot_1_0-of-1_diff.bin",
        } do
            assert.is_nil(internals.file_name_parse(text), text)
        end
    end)

    it("has no number out of range", function()
        for _, text in ipairs {
            "snapshot_9223372036854775808_0-of-1_diff.bin", "snapshot_1_0-of-0_diff.bin",
            "snapshot_18446744073709551616_0-of-1_diff.bin",
            "snapshot_184467440737095516160_0-of-1_diff.bin",
            "snapshot_1_1-of-1_diff.bin", "snapshot_1_2-of-1_diff.bin",
            "snapshot_1_0-of-65537_diff.bin", "snapshot_1_0-of-4294967297_diff.bin",
            "snapshot_1_4294967296-of-2_diff.bin",
        } do
            assert.is_nil(internals.file_name_parse(text), text)
        end
    end)

    -- It would be written back in another way, and not be found.
    it("has no leading zeros", function()
        for _, text in ipairs {
            "snapshot_01_0-of-1_diff.bin", "snapshot_00_0-of-1_diff.bin",
            "snapshot_1_00-of-1_diff.bin", "snapshot_1_0-of-01_diff.bin",
        } do
            assert.is_nil(internals.file_name_parse(text), text)
        end
    end)
end)

describe("a file set", function()
    local path
    before_each(function() path = folder.make() end)
    after_each(function() folder.remove(path) end)

    local function scan(names)
        for _, name in ipairs(names) do folder.write(path, name) end
        return internals.fileset(path)
    end

    it("of an empty folder is empty", function()
        local groups, last = scan {}
        assert.same({}, groups)
        assert.equal(0, last)
    end)

    it("of a folder that is not there is an error", function()
        local groups, message, code = internals.fileset(path .. "/nowhere")
        assert.is_nil(groups)
        assert.matches("nowhere", message)
        assert.equal("io", code)
    end)

    it("has its groups in the order of their ordinals, and no other files", function()
        local groups, last = scan {
            "snapshot_1_0-of-1_diff.bin", "snapshot_10_0-of-1_diff.bin",
            "snapshot_3_0-of-1_pending.bin", "snapshot_2_0-of-1_full.bin",
            "other_file.txt", "lockfile", "manifest", "manifest.new", "snapshot_1_0-of-1_diff.bin~",
        }
        assert.same({
            { ordinal = 1, shard_count = 1, kind = "diff", names = { "snapshot_1_0-of-1_diff.bin" } },
            { ordinal = 2, shard_count = 1, kind = "full", names = { "snapshot_2_0-of-1_full.bin" } },
            { ordinal = 3, shard_count = 1, kind = "pending",
              names = { "snapshot_3_0-of-1_pending.bin" } },
            { ordinal = 10, shard_count = 1, kind = "diff",
              names = { "snapshot_10_0-of-1_diff.bin" } },
        }, groups)
        assert.equal(10, last)
    end)

    it("has the shards of a group in order", function()
        local names, written = {}, {}
        for shard = 0, 11 do
            names[shard + 1] = ("snapshot_1_%d-of-12_diff.bin"):format(shard)
            written[(shard * 7) % 12 + 1] = names[shard + 1]
        end
        assert.same({ { ordinal = 1, shard_count = 12, kind = "diff", names = names } },
            (scan(written)))
    end)

    it("knows ordinals from 0 to far beyond 32 bits", function()
        local groups, last = scan {
            "snapshot_0_0-of-1_diff.bin", "snapshot_60_0-of-1_full.bin",
            "snapshot_900000000000_0-of-1_pending.bin",
        }
        assert.equal(3, #groups)
        assert.equal(900000000000, last)
    end)

    it("of many files is whole", function()
        local names = {}
        for ordinal = 1, 40 do
            for shard = 0, 9 do
                names[#names + 1] = ("snapshot_%d_%d-of-10_diff.bin"):format(ordinal, shard)
            end
        end
        local groups = scan(names)
        assert.equal(40, #groups)
        for ordinal, group in ipairs(groups) do
            assert.equal(ordinal, group.ordinal)
            assert.equal(10, #group.names)
            assert.is_nil(group.error)
        end
    end)

    local function assert_refused(words, names, mentioned)
        local group = scan(names)[1]
        local missing = ("Missing snapshot shard: %s is not there, though other shards of ordinal %d are; restore " ..
            "the file, or the folder, from a backup"):format(group.file, group.ordinal)
        local both = "%s: %s and %s cannot both belong to the store; move the one that does not out of the folder, " ..
            "or restore the folder from a backup"
        if words == "Missing snapshot shard" then
            assert.equal(missing, group.error)
        else
            local first = group.names[1] == group.file and group.names[2] or group.names[1]
            assert.equal(both:format(words, first, group.file), group.error)
        end
        assert.is_not_nil(group.error)
        assert.is_truthy(group.error:find(words, 1, true), group.error)
        assert.equal("corrupt", group.code)
        for _, name in ipairs(mentioned or names) do
            assert.is_truthy(group.error:find(name, 1, true), group.error)
        end
        assert.is_truthy(group.error:find(group.file, 1, true))
    end

    it("refuses a shard that is there twice", function()
        assert_refused("Duplicate snapshot shard",
            { "snapshot_1_0-of-1_diff.bin", "snapshot_1_0-of-1_full.bin" })
    end)

    it("refuses a shard that is there twice, with different counts", function()
        assert_refused("Duplicate snapshot shard",
            { "snapshot_1_0-of-1_diff.bin", "snapshot_1_0-of-2_diff.bin" })
    end)

    it("refuses a shard that is both pending and full", function()
        assert_refused("Duplicate snapshot shard",
            { "snapshot_1_0-of-1_pending.bin", "snapshot_1_0-of-1_full.bin" })
    end)

    it("refuses a missing shard, whichever it is", function()
        for missing = 0, 3 do
            local names = {}
            for shard = 0, 3 do
                if shard ~= missing then
                    names[#names + 1] = ("snapshot_1_%d-of-4_diff.bin"):format(shard)
                end
            end
            assert_refused("Missing snapshot shard", names,
                { ("snapshot_1_%d-of-4_diff.bin"):format(missing) })
            folder.remove(path)
            path = folder.make()
        end
    end)

    it("refuses a last shard that is alone", function()
        assert_refused("Missing snapshot shard", { "snapshot_1_1-of-2_diff.bin" },
            { "snapshot_1_0-of-2_diff.bin" })
    end)

    it("refuses different shard counts", function()
        assert_refused("Inconsistent snapshot shard count or type",
            { "snapshot_1_1-of-2_full.bin", "snapshot_1_0-of-1_full.bin" })
    end)

    it("refuses different types", function()
        assert_refused("Inconsistent snapshot shard count or type",
            { "snapshot_1_1-of-2_full.bin", "snapshot_1_0-of-2_diff.bin" })
        folder.remove(path)
        path = folder.make()
        assert_refused("Inconsistent snapshot shard count or type",
            { "snapshot_1_1-of-2_pending.bin", "snapshot_1_0-of-2_diff.bin" })
    end)

    it("does not let one bad group spoil another", function()
        local groups = scan { "snapshot_1_1-of-2_diff.bin", "snapshot_2_0-of-1_diff.bin" }
        assert.is_not_nil(groups[1].error)
        assert.is_nil(groups[2].error)
    end)

    it("takes a half renamed snapshot for a full one", function()
        for full = 0, 2 do
            local names = {}
            for shard = 0, 2 do
                local kind = shard == full and "full" or "pending"
                names[shard + 1] = ("snapshot_5_%d-of-3_%s.bin"):format(shard, kind)
            end
            assert.same({ { ordinal = 5, shard_count = 3, kind = "full", names = names } },
                (scan(names)))
            folder.remove(path)
            path = folder.make()
        end
    end)

    it("refuses a half renamed snapshot that lacks a shard", function()
        assert_refused("Missing snapshot shard",
            { "snapshot_5_0-of-3_full.bin", "snapshot_5_2-of-3_pending.bin" },
            { "snapshot_5_1-of-3_full.bin" })
    end)

    it("does not mind what is missing of a pending snapshot", function()
        local groups = scan {
            "snapshot_1_2-of-4_pending.bin", "snapshot_1_0-of-4_pending.bin",
            "snapshot_1_0-of-2_pending.bin",
        }
        assert.equal(1, #groups)
        assert.is_nil(groups[1].error)
        assert.equal("pending", groups[1].kind)
        assert.equal(3, #groups[1].names)
    end)
end)
