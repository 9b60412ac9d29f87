-- Why: services ask for access tokens of their own. What a client may ask for is said when it is made; its epoch rises when every token
-- that was issued to it must die, as an account's does.

ALTER TABLE service_clients
  -- Scope tokens of RFC 6749 section 3.3. Never those that open this service's own routes to people.
  ADD COLUMN scopes text[] NOT NULL DEFAULT '{}' CHECK (NOT scopes && ARRAY['account', 'admin']),
  -- For whom it may ask for tokens; the first is the default. A client that is older than this column has none and gets no token.
  ADD COLUMN audiences text[] NOT NULL DEFAULT '{}',
  ADD COLUMN epoch integer NOT NULL DEFAULT 0;

-- The service deletes no client; whoever does so by hand takes its access tokens back as well, as with accounts (0008).
CREATE FUNCTION revoke_deleted_client() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO revocations (kind, key, min_epoch, not_after, actor, reason, created_at)
  VALUES ('sub', translate(encode(OLD.id, 'base64'), '+/=', '-_'), 9007199254740991,
    now() + interval '970 seconds', 'database', 'client_deleted', now());
  RETURN OLD;
END
$$;

CREATE TRIGGER deleted_clients_are_revoked AFTER DELETE ON service_clients
  FOR EACH ROW EXECUTE FUNCTION revoke_deleted_client();
