-- Why: one identity, several credentials. A session is kept by a refresh token (token, sealed) or by a cookie that is looked up (cookie).

ALTER TABLE sessions DROP CONSTRAINT sessions_kind_check;
ALTER TABLE sessions ADD CHECK (kind IN ('token', 'cookie', 'sealed'));
-- A native client opens no sealed token and keeps no session cookie.
ALTER TABLE sessions ADD CHECK (kind = 'token' OR delivery = 'cookie');

-- What a web application keeps with a cookie session: JSON text as it was sent, and how often it was written. Gone with the session.
ALTER TABLE sessions
  ADD COLUMN data text CHECK (octet_length(data) <= 4096),
  ADD COLUMN data_version integer NOT NULL DEFAULT 0,
  ADD CHECK (kind = 'cookie' OR data IS NULL);
