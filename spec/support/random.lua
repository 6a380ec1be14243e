-- Random tests that can be repeated: the seed is part of every failure.
local random = {}

-- Calls body(seed) `rounds` times. PKV_SEED in the environment fixes the first seed.
function random.rounds(rounds, body)
    local first = tonumber(os.getenv("PKV_SEED") or "") or os.time()
    for seed = first, first + rounds - 1 do
        math.randomseed(seed)
        local ok, message = xpcall(function() body(seed) end, function(what)
            return type(what) == "table" and tostring(what.message) or tostring(what)
        end)
        if not ok then error(("with PKV_SEED=%d: %s"):format(seed, message), 0) end
    end
end

function random.bytes(size)
    local parts = {}
    for i = 1, size do parts[i] = string.char(math.random(0, 255)) end
    return table.concat(parts)
end

return random
