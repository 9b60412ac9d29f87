-- Why: keys rotate. There is always one key that signs and one, already published, that signs next; a key can be revoked.

ALTER TABLE signing_keys
  -- Of the next key: when it was decided that it is to sign as soon as it may (an operator asked, or the algorithm changes).
  ADD COLUMN hastened_at timestamptz,
  -- Set on a key that is gone before its time.
  ADD COLUMN revoked_at timestamptz,
  ADD CHECK (revoked_at IS NULL OR state = 'gone'),
  -- The private part must not outlive the key's use.
  ADD CHECK (state <> 'gone' OR sealed_private IS NULL);

-- Two instances that rotate at the same moment can never both add a next key.
CREATE UNIQUE INDEX signing_keys_one_next ON signing_keys (state) WHERE state = 'next';
