local internals = require "pkv_internals"

local ENOENT, EIO, ENOMEM, ENOSPC = 2, 5, 12, 28

describe("a thread's last failure", function()
    it("keeps code, file, error of the system and message", function()
        local _, message, code, file, os_error =
            internals.fail("corrupt", "some.bin", 7, 0, "record at offset 7 of some.bin is bad")
        assert.equal("record at offset 7 of some.bin is bad", message)
        assert.equal("corrupt", code)
        assert.equal("some.bin", file)
        assert.equal(0, os_error)
    end)

    it("adds the system's own words", function()
        local _, message, code, file, os_error = internals.fail("io", nil, nil, ENOENT, "no luck")
        assert.equal("no luck: No such file or directory", message)
        assert.equal("io", code)
        assert.equal("", file)
        assert.equal(ENOENT, os_error)
    end)

    it("has words for errors that do not exist", function()
        local _, message = internals.fail("io", nil, nil, 123456, "no luck")
        assert.matches("^no luck: .", message)
    end)

    it("tells a full disk and a lack of memory from other errors", function()
        assert.equal("no_space", (select(3, internals.fail_os(ENOSPC, "x"))))
        assert.equal("no_memory", (select(3, internals.fail_os(ENOMEM, "x"))))
        assert.equal("io", (select(3, internals.fail_os(EIO, "x"))))
    end)

    it("takes context in front and keeps all else", function()
        internals.fail("corrupt", "some.bin", 7, EIO, "bad")
        local _, message, code, file, os_error = internals.fail_context("the store cannot be opened")
        assert.equal("the store cannot be opened: bad: Input/output error", message)
        assert.equal("corrupt", code)
        assert.equal("some.bin", file)
        assert.equal(EIO, os_error)
    end)

    it("may be made of itself", function()
        internals.fail("corrupt", "some.bin", 7, 0, "bad")
        local _, message, _, file = internals.fail_again()
        assert.equal("again, bad", message)
        assert.equal("some.bin", file)
    end)

    it("is cut where it is too long", function()
        local long = ("x"):rep(2000)
        local _, message, _, file = internals.fail("io", long, 0, EIO, long)
        assert.equal(511, #message)
        assert.equal(255, #file)
        _, message = internals.fail_context(("y"):rep(500))
        assert.equal(("y"):rep(500) .. ": " .. ("x"):rep(9), message)
        _, message = internals.fail_context(long)
        assert.equal(511, #message)
    end)
end)

describe("pkv_status_text", function()
    it("has a sentence of its own for every code", function()
        local seen = {}
        for _, name in ipairs(internals.status_names()) do
            local text = internals.status_text(name)
            assert.is_nil(seen[text])
            assert.not_equal(internals.status_text(-1), text)
            seen[text] = true
        end
    end)

    it("answers an unknown code", function()
        assert.equal("unknown status", internals.status_text(-1))
        assert.equal("unknown status", internals.status_text(9999))
    end)
end)
