-- Why: other programs that ask the service something as themselves: replicas that follow revocations, services that introspect.
-- A client may have several secrets at a time, so that a new one can be rolled out before the old one stops working.

CREATE TABLE service_clients (
  id bytea PRIMARY KEY CHECK (octet_length(id) = 16),
  -- For people; plain enough for any log or terminal.
  name text NOT NULL CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'),
  created_at timestamptz NOT NULL,
  -- A disabled client stays, so that the trail keeps its meaning. It is never enabled again; a new one takes its place.
  disabled_at timestamptz
);

-- Two clients that both work never share a name; a disabled one's may be given again.
CREATE UNIQUE INDEX service_clients_name ON service_clients (name) WHERE disabled_at IS NULL;

CREATE TABLE service_client_secrets (
  client_id bytea NOT NULL REFERENCES service_clients (id),
  -- SHA-256 of 32 random bytes that only the client holds: nothing to guess, so a slow hash would protect nothing more.
  digest bytea NOT NULL CHECK (octet_length(digest) = 32),
  created_at timestamptz NOT NULL,
  revoked_at timestamptz,
  PRIMARY KEY (client_id, digest)
);
