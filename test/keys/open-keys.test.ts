import { generateKeyPairSync } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { Database } from '../../src/infra/postgres/database.ts'
import {
  keyLabels,
  type SigningAlgorithm,
  secretRing,
  WrongKeyEncryptionKey,
} from '../../src/keys/index.ts'
import { SigningKeysDamaged } from '../../src/keys/key-set.ts'
import { sealPrivateKey, unsealPrivateKey } from '../../src/keys/sealed-private-key.ts'
import { publicJwkOf } from '../../src/keys/signing-key.ts'
import { systemRandom } from '../../src/lib/machine.ts'
import { keyDatabase, keyInstance } from './key-instances.ts'
import { everyAlgorithm, newSigningKey } from './new-signing-key.ts'

const nowMs = Date.UTC(2030, 0, 1)
const oldSecret = 'the old secret, long enough to be one'
const newSecret = 'the new secret, long enough to be one'

const store = keyDatabase()

type Start = { secrets?: string[]; algorithm?: SigningAlgorithm; database?: Database }

const start = async ({
  secrets = [oldSecret],
  algorithm,
  database = store.connect(),
}: Start = {}) => {
  const clock = { nowMs: () => nowMs, monotonicMs: () => 0 }
  const { keys } = keyInstance({ database, clock, secrets, ...(algorithm && { algorithm }) })
  await keys.open()
  return keys
}

const rows = async () =>
  (await store.owner.query('SELECT * FROM signing_keys ORDER BY state, kid')).rows

describe('the first start', () => {
  test.for(everyAlgorithm)(
    'makes two keys of %s: one signs, the other is published and will be next',
    async (algorithm) => {
      const keys = await start({ algorithm })
      const signer = keys.signer()
      expect(signer.algorithm).toBe(algorithm)
      expect(keys.verificationKey(signer.kid)).toMatchObject({ kid: signer.kid, algorithm })
      expect(keys.warnings()).toEqual([])
      expect(await rows()).toMatchObject([
        {
          kid: signer.kid,
          algorithm,
          state: 'active',
          public_jwk: { kid: signer.kid, use: 'sig', alg: algorithm },
          created_at: new Date(nowMs),
          activated_at: new Date(nowMs),
          retired_at: null,
        },
        { algorithm, state: 'next', created_at: new Date(nowMs), activated_at: null },
      ])
      const [, next] = await rows()
      expect(keys.verificationKey(next.kid)).toMatchObject({ kid: next.kid, algorithm })
    },
  )

  test('of six instances at once makes one pair of keys, with which all sign, though all of them have made a candidate', async () => {
    const databases = Array.from({ length: 6 }, store.connect)
    // Held by another transaction, the lock keeps all six behind their first look at the empty table.
    await store.owner.query('BEGIN')
    await store.owner.query('SELECT pg_advisory_xact_lock(1801812339)')
    const starting = Promise.all(databases.map((database) => start({ database })))
    const waiting = `SELECT count(*)::int AS count FROM pg_locks
                     WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
    await expect.poll(async () => (await store.owner.query(waiting)).rows[0].count).toBe(6)
    expect((await store.owner.query('SELECT kid FROM signing_keys')).rows).toEqual([])
    await store.owner.query('COMMIT')
    const kids = (await starting).map((keys) => keys.signer().kid)
    expect(new Set(kids).size).toBe(1)
    expect(await rows()).toHaveLength(2)
  })
})

describe('a stored key', () => {
  test('R90: a dump of the table holds no private key, and the secret opens it', async () => {
    const { kid, privateKey } = (await start()).signer()
    const [row] = await rows()
    const { d = '' } = privateKey.export({ format: 'jwk' })
    expect(d).toHaveLength(43)
    expect(Object.keys(row.public_jwk).sort()).toEqual([
      'alg',
      'crv',
      'kid',
      'kty',
      'use',
      'x',
      'y',
    ])
    expect(JSON.stringify(row)).not.toContain(d)
    expect(row.sealed_private.includes(Buffer.from(d, 'base64url'))).toBe(false)
    const sealingKeys = secretRing([oldSecret]).derive(keyLabels.keySeal)
    expect(unsealPrivateKey(kid, row.sealed_private, sealingKeys).equals(privateKey)).toBe(true)
  })

  test('R90: under another secret the start fails, and nothing is made over it', async () => {
    await start()
    const before = await rows()
    await expect(start({ secrets: [newSecret] })).rejects.toThrow(WrongKeyEncryptionKey)
    await expect(start({ secrets: [newSecret] })).rejects.toThrow(
      'the signing keys were sealed with another CARDEA_SECRET',
    )
    expect(await rows()).toEqual(before)
  })

  test('R90: after all keys are gone the start fails, and none is made in their place', async () => {
    await start()
    await store.owner.query(`UPDATE signing_keys SET state = 'gone', sealed_private = NULL`)
    const before = await rows()
    await expect(start()).rejects.toThrow(SigningKeysDamaged)
    expect(await rows()).toEqual(before)
  })

  test('opens while its secret is listed anywhere, so that secrets can be rolled', async () => {
    const { kid } = (await start()).signer()
    const rolled = await start({ secrets: [newSecret, oldSecret] })
    expect(rolled.signer().kid).toBe(kid)
    expect(await rows()).toHaveLength(2)
  })

  test('goes on signing when SIGNING_ALGORITHM names another one, and the start says so', async () => {
    const { kid } = (await start()).signer()
    const keys = await start({ algorithm: 'Ed25519' })
    expect(keys.signer()).toMatchObject({ kid, algorithm: 'ES256' })
    expect(keys.warnings()).toEqual([
      'tokens are signed with ES256: the next rotation, or `cardea keys rotate`, begins the change to SIGNING_ALGORITHM Ed25519',
    ])
  })

  test('R123: is found by its kid only, and a kid is nothing but a key of a map', async () => {
    const keys = await start()
    for (const kid of ['__proto__', 'constructor', '', 'A'.repeat(43)]) {
      expect(keys.verificationKey(kid)).toBeUndefined()
    }
  })
})

describe('someone who can write to the table but has no secret', () => {
  test('cannot have a key of theirs published by changing the public part', async () => {
    const { kid } = (await start()).signer()
    const thief = await newSigningKey('ES256')
    await store.owner.query('UPDATE signing_keys SET public_jwk = $1 WHERE kid = $2', [
      JSON.stringify({ ...thief.publicJwk, kid }),
      kid,
    ])
    const found = (await start()).verificationKey(kid)?.key
    if (found === undefined) throw new Error('the key is not known')
    const published = await crypto.subtle.exportKey('jwk', found)
    expect(published.x).toMatch(/^[A-Za-z0-9_-]{43}$/)
    expect(published.x).not.toBe(thief.publicJwk.x)
  })

  test('cannot add a key of theirs: the start fails', async () => {
    await start()
    const thief = await newSigningKey('ES256')
    await store.owner.query(
      `INSERT INTO signing_keys SELECT $1, algorithm, 'retiring', $2, sealed_private, created_at, now(), now() FROM signing_keys LIMIT 1`,
      [thief.signer.kid, JSON.stringify(thief.publicJwk)],
    )
    await expect(start()).rejects.toThrow(WrongKeyEncryptionKey)
  })

  test.each([
    ['of 2048 bits', { modulusLength: 2048 }],
    ['with the exponent 3', { modulusLength: 3072, publicExponent: 3 }],
  ])(
    'R91: cannot have an RSA key %s used, even with the secret: the start fails',
    async (_name, options) => {
      await start({ algorithm: 'RS256' })
      const { privateKey } = generateKeyPairSync('rsa', options)
      const { kid, ...jwk } = await publicJwkOf(privateKey, 'RS256')
      const sealingKeys = secretRing([oldSecret]).derive(keyLabels.keySeal)
      await store.owner.query(
        `UPDATE signing_keys SET kid = $1, public_jwk = $2, sealed_private = $3 WHERE state = 'next'`,
        [kid, JSON.stringify(jwk), sealPrivateKey(kid, privateKey, sealingKeys, systemRandom)],
      )
      await expect(start({ algorithm: 'RS256' })).rejects.toThrow(
        new SigningKeysDamaged(`${kid} is too weak an RSA key`),
      )
    },
  )

  test('cannot have a key used with another algorithm: the start fails', async () => {
    await start()
    await store.owner.query(`UPDATE signing_keys SET algorithm = 'RS256'`)
    await expect(start()).rejects.toThrow(SigningKeysDamaged)
  })
})

describe('the table', () => {
  test('takes no second active or next key, no unknown state and no kid that is no thumbprint', async () => {
    await start()
    const copy = (kid: string, state: string) =>
      store.owner.query(
        `INSERT INTO signing_keys SELECT $1, algorithm, $2, public_jwk, sealed_private, created_at, now(), now() FROM signing_keys LIMIT 1`,
        [kid, state],
      )
    await expect(copy('A'.repeat(43), 'active')).rejects.toThrow('signing_keys_one_active')
    await expect(copy('A'.repeat(43), 'next')).rejects.toThrow('signing_keys_one_next')
    await expect(copy('A'.repeat(43), 'gone')).rejects.toThrow('check constraint')
    await expect(copy('A'.repeat(43), 'asleep')).rejects.toThrow('check constraint')
    await expect(copy('short', 'retiring')).rejects.toThrow('check constraint')
    await expect(copy('A'.repeat(43), 'retiring')).resolves.toBeDefined()
  })
})
