-- Why: the keys that sign access tokens, shared by all instances. The private part is AES-256-GCM ciphertext under a key that
-- is derived from CARDEA_SECRET and never stored here: a dump of this table signs nothing. Rows are never deleted: a
-- table that has held keys must never look like one that needs its first (see src/keys/ensure-signing-key.ts).
CREATE TABLE signing_keys (
  -- RFC 7638 thumbprint of the public key.
  kid text PRIMARY KEY CHECK (kid ~ '^[A-Za-z0-9_-]{43}$'),
  algorithm text NOT NULL CHECK (algorithm IN ('ES256', 'RS256', 'Ed25519')),
  state text NOT NULL CHECK (state IN ('next', 'active', 'retiring', 'gone')),
  -- For people and tools. The service publishes what it derives from the unsealed private part, so that someone who can
  -- write to this table cannot have a key of theirs published.
  public_jwk jsonb NOT NULL,
  -- Erased when the key is gone.
  sealed_private bytea,
  created_at timestamptz NOT NULL,
  -- When it began to sign.
  activated_at timestamptz,
  -- When it stopped signing.
  retired_at timestamptz,
  CHECK (state = 'gone' OR sealed_private IS NOT NULL),
  CHECK (state = 'next' OR activated_at IS NOT NULL OR state = 'gone'),
  CHECK (state <> 'retiring' OR retired_at IS NOT NULL)
);

-- Two instances can never both make a key the active one, whatever else goes wrong.
CREATE UNIQUE INDEX signing_keys_one_active ON signing_keys (state) WHERE state = 'active';
