-- Why: a session remembers what its login asked for, so that a refresh can hold it against the settings of today; and the wrong
-- passwords of a known device are counted for that device alone (docs/decisions/0038-known-devices.md, 0039-stored-facts.md).

-- All of these are constants or empty for rows that are there, so no row is written or read. A process of the version before writes none.
ALTER TABLE sessions
  -- The audiences that the login named. Empty: it named none, so the session serves every one. Null: unknown, the session is for
  -- `audience` alone.
  ADD COLUMN audiences text[],
  -- False: the cookies end with the browser, and the absolute expiry is the short one.
  ADD COLUMN persists boolean NOT NULL DEFAULT true;

-- A device has a row while its last attempts failed.
CREATE TABLE device_failures (
  account_id bytea NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
  device_id bytea NOT NULL CHECK (octet_length(device_id) = 16),
  -- Wrong passwords in a row.
  failures integer NOT NULL CHECK (failures > 0),
  failed_at timestamptz NOT NULL,
  PRIMARY KEY (account_id, device_id)
);

CREATE INDEX device_failures_age ON device_failures (failed_at);
