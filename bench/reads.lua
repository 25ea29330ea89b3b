-- Asks for the paths of a file at random, and prints what came of it as one line of JSON.
--     wrk -s reads.lua URL -- FILE [HEADER]
local requests = {}

function init(arguments)
   local headers = {}
   if arguments[2] then
      local name, value = arguments[2]:match("^([^:]+): *(.+)$")
      headers[name] = value
   end
   for path in io.lines(arguments[1]) do
      requests[#requests + 1] = wrk.format("GET", path, headers)
   end
   math.randomseed(os.time())
end

function request()
   return requests[math.random(#requests)]
end

function done(summary, latency, _)
   local errors = summary.errors
   io.write(string.format(
      '{"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "errors": %d}\n',
      summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout
   ))
end
