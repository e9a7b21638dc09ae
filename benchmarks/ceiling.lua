-- The raw ceiling: `issue` and KV v2 write with check-and-set, turn by turn, with the bodies that the service sends.
-- Settings come from a Lua file named in the environment, because arguments are visible to other users.
local settings = dofile(os.getenv("ROTATOR_BENCH_SETTINGS"))
local threads = 0

function setup(thread)
  thread:set("thread_number", threads)
  threads = threads + 1
end

local headers = {
  ["X-Vault-Token"] = settings.token,
  ["X-Vault-Request"] = "true",
  ["Accept"] = "application/json",
  ["Content-Type"] = "application/json",
}
local turn = 0

-- Each thread has paths of its own and writes them round by round: the version to replace is the number of the round.
function request()
  turn = turn + 1
  local index = math.floor((turn - 1) / 2)
  local path, round = index % settings.paths, math.floor(index / settings.paths)
  if turn % 2 == 1 then
    local name = string.format("agent-%05d", path)
    return wrk.format("POST", settings.issue_path, headers, (settings.issue_body:gsub("@NAME@", name)))
  end
  local where = string.format("%s/raw-%s-%d-%05d/tls", settings.kv_path, settings.run, thread_number, path)
  return wrk.format("POST", where, headers, (settings.kv_body:gsub("@CAS@", tostring(round), 1)))
end

function done(summary, latency, requests)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format('\n{"requests": %d, "microseconds": %d, "failed": %d}\n',
    summary.requests, summary.duration, failed))
end
