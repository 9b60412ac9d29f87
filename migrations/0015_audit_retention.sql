-- Why: the trail grew for ever, since not even its owner could remove anything. The owner removes what is older than their retention by this
-- function, and in no other way: every other DELETE is refused as before. The role of the application has no right to delete.

-- The setting lasts for one statement of the function, and tells its DELETE from all others.
CREATE OR REPLACE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' AND current_setting('cardea.audit_purge', true) = 'on' THEN
    RETURN NULL;
  END IF;
  RAISE EXCEPTION 'audit events are never changed' USING ERRCODE = 'insufficient_privilege';
END
$$;

-- In batches, so that no transaction is long. The last day stays whatever is asked for: processes look for their newest entries there when they
-- find out whether a fail-over lost commits. The index on `at` is built beside the service (src/infra/postgres/build-indexes.ts).
CREATE FUNCTION purge_audit_events(older_than timestamptz, most integer DEFAULT 10000) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  removed integer;
BEGIN
  IF older_than > now() - interval '1 day' THEN
    RAISE EXCEPTION 'audit events of the last day are kept' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  PERFORM set_config('cardea.audit_purge', 'on', true);
  DELETE FROM audit_events WHERE id IN
    (SELECT id FROM audit_events WHERE at < older_than ORDER BY at LIMIT most FOR UPDATE SKIP LOCKED);
  GET DIAGNOSTICS removed = ROW_COUNT;
  PERFORM set_config('cardea.audit_purge', 'off', true);
  RETURN removed;
END
$$;

REVOKE ALL ON FUNCTION purge_audit_events FROM PUBLIC;
