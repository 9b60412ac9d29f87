-- Why: a service client may belong to an account, and then ends with it, as its sessions do.

ALTER TABLE service_clients
  -- Empty: it is nobody's, and no revocation of a person concerns it.
  ADD COLUMN owner_id bytea REFERENCES accounts (id) ON DELETE CASCADE;

-- Asked for whenever an account is revoked or disabled, and hardly any row has an owner.
CREATE INDEX service_clients_of_owners ON service_clients (owner_id) WHERE owner_id IS NOT NULL;

-- Whoever deletes an account by hand need not know of its clients; the trigger of 0010 takes their tokens back.
ALTER TABLE service_client_secrets
  DROP CONSTRAINT service_client_secrets_client_id_fkey,
  ADD FOREIGN KEY (client_id) REFERENCES service_clients (id) ON DELETE CASCADE;
