-- Temporary folders for specs.
local lfs = require "lfs"

local folder = {}

-- A new, empty folder.
function folder.make()
    local path = os.tmpname()
    assert(os.remove(path))
    assert(lfs.mkdir(path))
    return path
end

function folder.write(path, name, bytes)
    local file = assert(io.open(path .. "/" .. name, "wb"))
    assert(file:write(bytes or ""))
    assert(file:close())
end

-- The file's bytes, or nil.
function folder.read(path, name)
    local file = io.open(path .. "/" .. name, "rb")
    if not file then return nil end
    local bytes = file:read("*a")
    file:close()
    return bytes
end

function folder.exists(path, name)
    return lfs.symlinkattributes(path .. "/" .. name) ~= nil
end

-- Removes the folder with all that is in it; follows no links.
function folder.remove(path)
    for name in lfs.dir(path) do
        local inner = path .. "/" .. name
        if name ~= "." and name ~= ".." then
            if lfs.symlinkattributes(inner, "mode") == "directory" then
                folder.remove(inner)
            else
                assert(os.remove(inner))
            end
        end
    end
    assert(lfs.rmdir(path))
end

return folder
