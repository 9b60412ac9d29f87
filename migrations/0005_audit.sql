-- Why: what happened, to whom, by whom, and how it ended; written in the transaction of the act itself and never changed.
-- The application may insert and read (privileges.sql); the trigger holds even for the owner of the table.

CREATE TABLE audit_events (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL,
  event text NOT NULL,
  outcome text NOT NULL CHECK (outcome IN ('success', 'failure')),
  reason text,
  actor text NOT NULL,
  account_id bytea,
  -- Keyed hashes: an entry can be matched to a session or an address somebody names, and tells neither.
  session_reference text,
  identifier_reference text,
  address text,
  user_agent text,
  request_id text,
  details jsonb NOT NULL
);

CREATE INDEX audit_events_of_account ON audit_events (account_id, id);

CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'audit events are never changed' USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER audit_events_are_final BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_events
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
