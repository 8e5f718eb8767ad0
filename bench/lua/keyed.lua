-- Writes, each with a key that was never used before, or without one. args: PATH BODY_BYTES PREFIX ("" for no key)
local here = debug.getinfo(1, "S").source:match("@(.*/)")
dofile(here .. "summary.lua")

local path, body, prefix, at

function init(args)
  path, body, prefix, at = args[1], string.rep("x", tonumber(args[2])), args[3], 0
  wrk.headers["authorization"] = "Bearer key-0123456789abcdef"
  wrk.headers["x-user-id"] = "user-1"
  wrk.headers["content-type"] = "application/octet-stream"
end

function request()
  if prefix and prefix ~= "" then
    at = at + 1
    wrk.headers["idempotency-key"] = string.format("%s-%d", prefix, at)
  end
  return wrk.format("POST", path, nil, body)
end
