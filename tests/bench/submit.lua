-- wrk's script: submissions by several users in turn, and one line of JSON at the end.
-- Arguments after "--": the users' access tokens.
wrk.method = 'POST'
wrk.body = '{"task_type":"IMAGE_RESIZE"}'
wrk.headers['Content-Type'] = 'application/json'

local requests = {}
local turn = 0

function init(arguments)
  for _, token in ipairs(arguments) do
    wrk.headers['Authorization'] = 'Bearer ' .. token
    -- Formatted once: the load generator shares the machine with what it measures.
    requests[#requests + 1] = wrk.format()
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '{"duration_us":%d,"answers":%d,"refused":%d,"failed":%d,"p50_us":%d,"p99_us":%d}\n',
    summary.duration, summary.requests, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)
  ))
end
