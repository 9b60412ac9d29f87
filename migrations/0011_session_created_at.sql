-- Why: signing in anew in a session that goes on moves authenticated_at, so when the session began needs a column of its own.
-- Empty in rows from before: they were never authenticated anew, and authenticated_at tells it.

ALTER TABLE sessions
  ADD COLUMN created_at timestamptz,
  ADD CHECK (kind <> 'cookie' OR created_at IS NOT NULL);
