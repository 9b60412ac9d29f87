-- Why: the log of everything that died before its time. Insert-only; rows are purged once no token they cover can still be valid.
-- `xid` lets a follower read every row that became visible since its last look: sequence numbers alone lose late commits.

CREATE TABLE revocations (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  kind text NOT NULL CHECK (kind IN ('jti', 'sid', 'sub', 'claims', 'kid', 'everyone')),
  -- The id that is revoked; empty for 'everyone'.
  key text NOT NULL,
  -- For 'sub', 'claims' and 'everyone': tokens with a lower epoch are dead.
  min_epoch bigint,
  not_after timestamptz NOT NULL,
  actor text NOT NULL,
  reason text NOT NULL,
  created_at timestamptz NOT NULL,
  CHECK ((min_epoch IS NULL) = (kind IN ('jti', 'sid', 'kid')))
);

CREATE INDEX revocations_by_transaction ON revocations (xid);
CREATE INDEX revocations_by_end ON revocations (not_after);
CREATE INDEX revocations_of_tokens ON revocations (key) WHERE kind = 'jti';
