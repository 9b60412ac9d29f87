-- Why: what the application's role may do, and nothing more: no DDL, no ownership, an audit trail it can only add to.
-- Applied again after every run of migrations, so that it always speaks of the current tables.
-- The role's name comes in the setting cardea.app_role, for this transaction only.

DO $$
DECLARE
  app text := current_setting('cardea.app_role');
BEGIN
  EXECUTE format('GRANT USAGE ON SCHEMA %s TO %I',
    (SELECT relnamespace::regnamespace FROM pg_class WHERE oid = 'schema_migrations'::regclass), app);
  EXECUTE format('GRANT SELECT ON schema_migrations TO %I', app);
  EXECUTE format('GRANT SELECT, UPDATE ON instance TO %I', app);
  EXECUTE format('GRANT SELECT, INSERT, UPDATE ON accounts TO %I', app);
  EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON device_failures TO %I', app);
  EXECUTE format('GRANT SELECT, INSERT, UPDATE ON signing_keys TO %I', app);
  EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON sessions TO %I', app);
  EXECUTE format('GRANT SELECT, INSERT, DELETE ON revocations TO %I', app);
  EXECUTE format('GRANT SELECT, INSERT ON data_losses TO %I', app);
  EXECUTE format('GRANT SELECT, INSERT ON audit_events TO %I', app);
  EXECUTE format('GRANT SELECT, INSERT, UPDATE (disabled_at, epoch) ON service_clients TO %I', app);
  EXECUTE format('GRANT SELECT, INSERT, UPDATE (revoked_at) ON service_client_secrets TO %I', app);
END
$$;
