-- Why: an entry that no reader understands covers nothing, and whoever wrote it believes that it does. It is refused when it is written.

-- The keys are canonical base64url of 16 bytes, of 32 for a signing key. NOT VALID: only new rows are looked at, so that the strong lock
-- lasts for a moment. What is there is checked after the migrations, under a lock that lets everyone read and write.
ALTER TABLE revocations ADD CONSTRAINT revocations_can_be_read CHECK (
  CASE kind
    WHEN 'everyone' THEN key = ''
    WHEN 'kid' THEN key ~ '^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$'
    ELSE key ~ '^[A-Za-z0-9_-]{21}[AQgw]$'
  END
  AND (min_epoch IS NULL OR min_epoch BETWEEN 0 AND 9007199254740991)
  AND not_after > '1970-01-01T00:00:00Z' AND not_after <= '2106-02-07T06:28:15Z'
) NOT VALID;

-- Why: after a fail-over that lost commits, one process records it and answers it for all. `feed_id` names the log that lacks them.
CREATE TABLE data_losses (
  feed_id text PRIMARY KEY,
  detected_at timestamptz NOT NULL,
  -- As it was then: once it has risen, nothing counts any more that was issued before the loss.
  global_epoch bigint NOT NULL
);
