-- Asks Cardea's forward-auth about a request, for haproxy.cfg beside this file, which decides by what is noted here:
--   txn.cardea_status         200, 401, 403 or 431; 503 for everything else, so also for no answer
--   txn.cardea_login          with 401: the login page that knows the way back; only ever the page that LOGIN_PAGE names
--   txn.cardea_challenge      with 401: what WWW-Authenticate says
--   txn.cardea_account, txn.cardea_roles, txn.cardea_session, with `token=1` txn.cardea_authorization, with `email=1` txn.cardea_email:
--                             with 200
-- The query of the question (`role=staff`) is read from txn.cardea_query. With txn.cardea_bearer the client's own
-- Authorization goes along.

-- A listener of the same HAProxy, so that time limits, retries and health checks of the question are those of a backend.
local listener = "abns@cardea-check"
-- A little more than that backend waits, so that it is the one to give up.
local timeout_ms = 5000

-- HAProxy counts the values of a header from 0.
local function joined(values, separator)
  if values == nil then return nil end
  local list = {}
  for place = 0, #values do list[#list + 1] = values[place] end
  return table.concat(list, separator)
end

-- One value and no other; two of them would leave the choice to whoever reads.
local function only(headers, name)
  local values = headers and headers[name]
  if values == nil or values[1] ~= nil then return "" end
  return values[0] or ""
end

-- A header is left out when there is nothing to say; of the client's own, only what can be a credential goes along.
local function question(txn)
  local headers = {}
  local add = function(name, value)
    if value ~= nil and value ~= "" then headers[name] = { value } end
  end
  local sent = txn.http:req_get_headers()
  add("cookie", joined(sent["cookie"], "; "))
  if txn:get_var("txn.cardea_bearer") then add("authorization", joined(sent["authorization"], ", ")) end
  add("x-forwarded-method", txn.f:method())
  add("x-forwarded-proto", txn.f:ssl_fc() == 1 and "https" or "http")
  add("x-forwarded-host", joined(sent["host"], ","))
  add("x-forwarded-uri", txn.f:pathq())
  add("x-forwarded-for", txn.f:src())
  return headers
end

-- A variable is there only when there is something to say.
local function note(txn, name, value)
  if value ~= "" then txn:set_var("txn.cardea_" .. name, value) end
end

local known = { [200] = true, [401] = true, [403] = true, [431] = true }

-- Where people log in: a path of this host, or the page of Cardea's own host that serves several (COOKIE_DOMAIN).
local function leads_to_login(location)
  local page = (os.getenv("LOGIN_PAGE") or "/login") .. "?"
  return location:sub(1, #page) == page
end

core.register_action("cardea_check", { "http-req" }, function(txn)
  -- Stands when anything below fails.
  txn:set_var("txn.cardea_status", 503)
  local query = txn:get_var("txn.cardea_query") or ""
  local answer = core.httpclient():get({
    url = "http://127.0.0.1/forward-auth" .. (query ~= "" and "?" .. query or ""),
    dst = listener,
    timeout = timeout_ms,
    headers = question(txn),
  })
  if answer == nil or not known[answer.status] then return end
  if answer.status == 200 then
    local account = only(answer.headers, "x-auth-account")
    -- A 200 that names nobody is not Cardea's.
    if account == "" then return end
    note(txn, "account", account)
    note(txn, "roles", only(answer.headers, "x-auth-roles"))
    note(txn, "session", only(answer.headers, "x-auth-session"))
    note(txn, "email", only(answer.headers, "x-auth-email"))
    note(txn, "authorization", only(answer.headers, "authorization"))
  end
  if answer.status == 401 then
    local login = only(answer.headers, "location")
    if leads_to_login(login) then note(txn, "login", login) end
    note(txn, "challenge", only(answer.headers, "www-authenticate"))
  end
  txn:set_var("txn.cardea_status", answer.status)
end)
