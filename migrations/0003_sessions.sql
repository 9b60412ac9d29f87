-- Why: one row per sign-in, updated in place; nothing is inserted per refresh, so the table grows with sessions, not traffic.
-- A refresh changes generation, last_used_at and idle_expires_at: no index may cover any of these (nor name one in its
-- condition), and pages keep room, so that every refresh is a heap-only update and writes no index.

CREATE TABLE sessions (
  id bytea PRIMARY KEY CHECK (octet_length(id) = 16),
  account_id bytea NOT NULL REFERENCES accounts (id),
  kind text NOT NULL CHECK (kind IN ('token')),
  delivery text NOT NULL CHECK (delivery IN ('cookie', 'body')),
  -- SHA-256 of 32 random bytes that only the handle holds.
  secret_digest bytea NOT NULL CHECK (octet_length(secret_digest) = 32),
  client_id text NOT NULL,
  audience text NOT NULL,
  scope text NOT NULL,
  amr text[] NOT NULL,
  acr text NOT NULL,
  -- The epochs at sign-in, and not the current ones: what a refresh mints in a race is then already condemned.
  global_epoch bigint NOT NULL,
  account_epoch integer NOT NULL,
  user_agent text NOT NULL,
  address text NOT NULL,
  authenticated_at timestamptz NOT NULL,
  absolute_expires_at timestamptz NOT NULL,
  ended_at timestamptz,
  end_reason text,
  generation integer NOT NULL DEFAULT 0,
  last_used_at timestamptz NOT NULL,
  idle_expires_at timestamptz NOT NULL,
  CHECK ((ended_at IS NULL) = (end_reason IS NULL))
) WITH (fillfactor = 50);

CREATE INDEX sessions_live_of_account ON sessions (account_id) WHERE ended_at IS NULL;
CREATE INDEX sessions_absolute_expiry ON sessions (absolute_expires_at);
