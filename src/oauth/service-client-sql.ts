/** The statements of `postgres-service-client-store.ts`. */

const columns = 'id, name, scopes, audiences, owner_id, created_at, disabled_at'

/** Of `c`. Somebody may have disabled the owner in the database, where that ends no client. */
const mayCall = `c.disabled_at IS NULL AND (c.owner_id IS NULL
      OR EXISTS (SELECT FROM accounts a WHERE a.id = c.owner_id AND a.status = 'active'))`

/** One statement for both rows: the secret is added only if the client was. */
export const add = {
  name: 'service_client_add',
  text: `WITH added AS (
      INSERT INTO service_clients (id, name, scopes, audiences, created_at, owner_id) VALUES ($1, $2, $3, $4, $6, $7)
      ON CONFLICT (name) WHERE disabled_at IS NULL DO NOTHING RETURNING id, created_at)
    INSERT INTO service_client_secrets (client_id, digest, created_at)
    SELECT id, $5, created_at FROM added RETURNING client_id`,
}

export const list = {
  name: 'service_client_list',
  text: `SELECT ${columns} FROM service_clients ORDER BY created_at, id`,
}

export const find = {
  name: 'service_client_find',
  text: `SELECT ${columns} FROM service_clients WHERE id = $1`,
}

export const lock = {
  name: 'service_client_lock',
  text: `SELECT ${columns} FROM service_clients WHERE id = $1 FOR NO KEY UPDATE`,
}

export const disable = {
  name: 'service_client_disable',
  text: 'UPDATE service_clients SET disabled_at = $2 WHERE id = $1 AND disabled_at IS NULL',
}

/** Of one account. Their epochs rise in the same statement. */
export const disableOwned = {
  name: 'service_client_disable_owned',
  text: `UPDATE service_clients SET disabled_at = $2, epoch = epoch + 1
    WHERE owner_id = $1 AND disabled_at IS NULL RETURNING id, name, epoch`,
}

export const raiseEpoch = {
  name: 'service_client_raise_epoch',
  text: 'UPDATE service_clients SET epoch = epoch + 1 WHERE id = $1 RETURNING epoch',
}

export const validDigests = {
  name: 'service_client_valid_digests',
  text: `SELECT s.digest FROM service_client_secrets s JOIN service_clients c ON c.id = s.client_id
    WHERE c.id = $1 AND ${mayCall} AND s.revoked_at IS NULL`,
}

/** Epochs and the right to call from one snapshot: a token made from it is condemned by whatever commits later. */
export const rights = {
  name: 'service_client_rights',
  text: `SELECT c.scopes, c.audiences, c.epoch, i.global_epoch, array_agg(s.digest) AS digests
    FROM service_clients c CROSS JOIN instance i JOIN service_client_secrets s ON s.client_id = c.id AND s.revoked_at IS NULL
    WHERE c.id = $1 AND ${mayCall} GROUP BY c.id, i.global_epoch`,
}

export const secrets = {
  name: 'service_client_secrets',
  text: `SELECT digest, created_at, revoked_at FROM service_client_secrets
    WHERE client_id = $1 ORDER BY created_at, digest`,
}

export const addSecret = {
  name: 'service_client_secret_add',
  text: 'INSERT INTO service_client_secrets (client_id, digest, created_at) VALUES ($1, $2, $3)',
}

export const revokeSecret = {
  name: 'service_client_secret_revoke',
  text: `UPDATE service_client_secrets SET revoked_at = $3
    WHERE client_id = $1 AND digest = $2 AND revoked_at IS NULL`,
}

/** As `stands` of sessions, for tokens behind which there is no session. */
export const stands = {
  name: 'service_client_stands',
  text: `SELECT EXISTS (
      SELECT FROM service_clients c CROSS JOIN instance i
      WHERE c.id = $1 AND ${mayCall} AND i.global_epoch <= $2 AND c.epoch <= $3)
    AND NOT EXISTS (SELECT FROM revocations WHERE kind = 'jti' AND key = $4 AND not_after > least($5, now()))
    AND NOT EXISTS (SELECT FROM revocations WHERE kind = 'kid' AND key = $6 AND not_after > least($5, now())) AS stands`,
}
