-- Why: these triggers wrote into whatever `revocations` the search path of the person who deletes leads to. In a database with several
-- schemas that is an error, or the log of another installation. They write beside the table that they belong to, and the function that
-- removes old audit events removes those of its own schema.

CREATE OR REPLACE FUNCTION revoke_deleted_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('INSERT INTO %I.revocations (kind, key, min_epoch, not_after, actor, reason, created_at)
    VALUES (''sub'', $1, 9007199254740991, now() + interval ''970 seconds'', ''database'', ''account_deleted'', now())',
    TG_TABLE_SCHEMA)
  USING translate(encode(OLD.id, 'base64'), '+/=', '-_');
  RETURN OLD;
END
$$;

CREATE OR REPLACE FUNCTION revoke_deleted_client() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('INSERT INTO %I.revocations (kind, key, min_epoch, not_after, actor, reason, created_at)
    VALUES (''sub'', $1, 9007199254740991, now() + interval ''970 seconds'', ''database'', ''client_deleted'', now())',
    TG_TABLE_SCHEMA)
  USING translate(encode(OLD.id, 'base64'), '+/=', '-_');
  RETURN OLD;
END
$$;

DO $$
BEGIN
  EXECUTE format('ALTER FUNCTION purge_audit_events SET search_path = %I, pg_temp', current_schema());
END
$$;
