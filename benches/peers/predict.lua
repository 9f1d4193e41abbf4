-- Posts the lines of the file named after `--`, one after the other; with a number after it, each time after so many one asks to be the last of its
-- connection.
local requests, last, place, sent, per_connection = {}, {}, 0, 0, nil

function init(arguments)
  per_connection = tonumber(arguments[2])
  for body in io.lines(arguments[1]) do
    requests[#requests + 1] = wrk.format("POST", nil, { ["Content-Type"] = "application/json" }, body)
    last[#last + 1] = wrk.format("POST", nil, { ["Content-Type"] = "application/json", ["Connection"] = "close" }, body)
  end
end

function request()
  place = place % #requests + 1
  sent = sent + 1
  if per_connection and sent % per_connection == 0 then
    return last[place]
  end
  return requests[place]
end
