-- Why: an account is a person's identity here, and `instance` holds the one number that condemns everything at once.
-- Epochs are counters that only rise; a token or session that carries a lower one than the account or the instance is dead.

CREATE TABLE instance (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  -- Seeded from the clock, so that a restored backup cannot repeat an epoch that was in use after it was made.
  global_epoch bigint NOT NULL DEFAULT floor(extract(epoch FROM now()))
);

INSERT INTO instance DEFAULT VALUES;

CREATE TABLE accounts (
  id bytea PRIMARY KEY CHECK (octet_length(id) = 16),
  -- As entered, for mail; `email_canonical` decides who is who, and only the service computes it (never SQL lower()).
  email text NOT NULL,
  email_canonical text NOT NULL UNIQUE,
  status text NOT NULL CHECK (status IN ('active', 'disabled')),
  roles text[] NOT NULL,
  -- A PHC string; the pepper it was made with is outside the database, this names which one.
  password_phc text NOT NULL,
  password_pepper_id text,
  -- Wrong passwords since the last right one. Kept here, because a limit that a lost cache resets is none.
  failed_logins integer NOT NULL DEFAULT 0,
  epoch integer NOT NULL DEFAULT 0,
  claims_epoch integer NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL
) WITH (fillfactor = 80);
