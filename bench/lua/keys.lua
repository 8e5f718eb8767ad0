-- Every request has another user, id and x-request-id, over all endpoints. args: ENDPOINTS KEYS
-- Requests are made once, so that the generator does not share its core's time with string building.
local here = debug.getinfo(1, "S").source:match("@(.*/)")
dofile(here .. "summary.lua")

local prepared, at = {}, 0

function init(args)
  local endpoints, keys = tonumber(args[1]), tonumber(args[2])
  for n = 1, keys do
    prepared[n] = wrk.format("GET", string.format("/resource%d/%d", n % endpoints, n), {
      ["authorization"] = "Bearer key-0123456789abcdef",
      ["x-user-id"] = string.format("user-%d", n * 7919),
      ["x-request-id"] = string.format("%08x-4000-8000-%012x", n * 2654435, n),
      ["accept"] = "application/json",
      ["user-agent"] = "bench",
    })
  end
end

function request()
  at = at % #prepared + 1
  return prepared[at]
end
