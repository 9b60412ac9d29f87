-- Why: a handle that was issued in a response that did not arrive logs nobody out (docs/decisions/0029-lost-responses.md).

-- Only the statement that answers a lost response writes these two; a refresh does not. They count while `reissued_generation` is the
-- session's generation. After the next rotation, also by a process of the version before, the last presented generation is the one
-- before the newest again. No index may cover either (see 0003).
ALTER TABLE sessions
  -- The newest generation that a client has presented.
  ADD COLUMN presented_generation integer,
  -- The generation that was issued to it again. Those between the two are in nobody's hands, or in a thief's.
  ADD COLUMN reissued_generation integer,
  -- Of a cookie session whose step-up has a handle that nobody has presented yet: when the holder of the one before logged in.
  ADD COLUMN presented_authenticated_at timestamptz,
  -- Rows from before hold none of these, so nothing has to be read to know that they obey.
  ADD CONSTRAINT sessions_reissued CHECK (presented_generation < reissued_generation) NOT VALID;
