--- The platform layer, and the two that stand for it in tests: what the simulated disk proves holds for
-- the real thing if both do the same, and a failure of any call is proved to be harmless only if the
-- call has a probe.
local helper = require "spec.support.helper"

local build = os.getenv "PKV_BUILD" or "build"

local function lines_of(command)
   local pipe = assert(io.popen(command))
   local lines = {}
   for line in pipe:lines() do lines[#lines + 1] = line end
   assert(pipe:close(), command .. " failed")
   return lines
end

describe("the platform layer", function()
   it("makes the calls that the simulated disk takes, in the same order, and leaves the same files", function()
      local real = lines_of(build .. "/spec/calls_posix")
      local simulated = lines_of(build .. "/spec/calls_simulated")
      local seen = {}
      for i, line in ipairs(real) do
         if line ~= simulated[i] then
            local before = table.concat(real, "\n", math.max(1, i - 20), i - 1)
            error(("line %d differs:\n%s\nreal:      %s\nsimulated: %s"):format(i, before, line, simulated[i]))
         end
         local call = line:match "^    (%l+) " or line:match "^    meanwhile: (%l+) "
         if call then seen[call] = (seen[call] or 0) + 1 end
      end
      assert.equal(#real, #simulated)
      assert.is_nil(seen.status, "a step failed")
      local calls = "create open close lock read write truncate allocate map forget sync rename unlink list"
      for call in calls:gmatch "%l+" do
         assert.is_true((seen[call] or 0) >= 8, call .. " is not called")
      end
   end)

   it("makes no call without a probe but those that cannot fail, or whose failure means nothing", function()
      local known = {}
      for name in ([[
         memset strlen strcmp strrchr free sigfillset getpid clock_gettime sysconf
         closedir pthread_join pthread_cond_timedwait sched_yield getpriority syscall
         pthread_mutex_lock pthread_mutex_destroy pthread_cond_destroy pthread_condattr_destroy
         pthread_rwlock_destroy pthread_rwlockattr_destroy
         dladdr dlopen]]):gmatch "%S+" do
         known[name] = true
      end
      local probed = 0
      for name in helper.read("spec/support/probe.c"):gmatch "\n#define ([%l_]+)%(" do
         known[name], probed = true, probed + 1
      end
      assert.is_true(probed > 30)
      for _, object in ipairs { "posix", "posix_files" } do
         for _, line in ipairs(lines_of(("nm -u %s/obj/src/os/%s.o"):format(build, object))) do
            local name = line:match "U ([%w_]+)"
            local of_compiler = name and name:find "^_"
            if name and not of_compiler and not known[name] then error(("%s.c calls %s"):format(object, name)) end
         end
      end
   end)
end)
