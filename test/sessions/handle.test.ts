import { createHash } from 'node:crypto'
import { afterAll, describe, expect, onTestFinished, test } from 'vitest'
import { keyLabels } from '../../src/keys/index.ts'
import { newId, systemRandom } from '../../src/lib/machine.ts'
import { refreshSession } from '../../src/refresh/index.ts'
import { handleCodec } from '../../src/sessions/index.ts'
import { freshDatabase } from '../support/servers/postgres-server.ts'
import { dumpOf, sqlAs } from '../support/servers/sql.ts'
import { startCardea } from '../support/service/cardea.ts'
import { codecOf, handleFields } from '../support/service/handles.ts'

const secret = 'the secret of this deployment, long enough'
const older = 'the secret that was in use before this one'

const cardea = await startCardea({ secrets: [secret] })
afterAll(() => cardea.stop())

const logIn = async () => cardea.client.logIn(await cardea.createAccount())

const rowOf = async (sessionId: string) => {
  const [row] = await sqlAs(cardea.stores.migrateUrl)<{ text: string; secret_digest: Buffer }>(
    'SELECT s::text AS text, s.secret_digest FROM sessions s WHERE id = $1',
    [Buffer.from(sessionId, 'base64url')],
  )
  return row
}

const unknown = { status: 401, body: { code: 'invalid_refresh_token' }, refreshCookie: undefined }

const writeNew = (codec = codecOf([secret])) =>
  codec.write({ sessionId: newId(systemRandom), generation: 3, secret: systemRandom(32) })

test('R51: a handle holds the session id and 256 random bits; the row keeps their SHA-256 and nothing else of it', async () => {
  const one = await logIn()
  const fields = handleFields(one.refreshToken)
  expect(fields).toMatchObject({ version: 1, generation: 0, sessionId: one.body.session_id })
  expect(fields.secret).toHaveLength(32)
  const row = await rowOf(fields.sessionId)
  expect(row?.secret_digest).toEqual(createHash('sha256').update(fields.secret).digest())
  const two = handleFields((await logIn()).refreshToken)
  expect(two.secret.equals(fields.secret)).toBe(false)
  expect(two.sessionId).not.toBe(fields.sessionId)
})

test('R39, R43: a dump of the database holds no handle, no secret and no MAC of any generation', async () => {
  const { refreshToken } = await logIn()
  const successor = (await cardea.client.refresh(refreshToken)).refreshCookie ?? ''
  const dump = await dumpOf(cardea.stores.migrateUrl)
  const digest = createHash('sha256').update(handleFields(refreshToken).secret).digest('hex')
  expect(dump).toContain(digest)
  for (const handle of [refreshToken, successor]) {
    const { secret: random, mac } = handleFields(handle)
    expect(dump).not.toContain(handle)
    for (const encoding of ['hex', 'base64', 'base64url'] as const) {
      expect(dump).not.toContain(random.toString(encoding))
      expect(dump).not.toContain(mac.toString(encoding))
    }
  }
})

test('R39: the session secret without the MAC key makes no handle', async () => {
  const { refreshToken } = await logIn()
  const fields = handleFields(refreshToken)
  const before = await rowOf(fields.sessionId)
  const forged = codecOf(['a guess of the server secret, long enough']).write(fields)
  expect(handleFields(forged)).toMatchObject({ sessionId: fields.sessionId, generation: 0 })
  expect(await cardea.client.refresh(forged)).toMatchObject(unknown)
  expect(await rowOf(fields.sessionId)).toEqual(before)
})

test('R39: the server secret without the session secret makes no handle, of any generation', async () => {
  const { refreshToken } = await logIn()
  const { sessionId } = handleFields(refreshToken)
  const before = await rowOf(sessionId)
  const digest = before?.secret_digest ?? Buffer.alloc(0)
  for (const guess of [digest, systemRandom(32)]) {
    for (const generation of [0, 1, 5]) {
      const forged = codecOf([secret]).write({ sessionId, generation, secret: guess })
      expect(await cardea.client.refresh(forged)).toMatchObject(unknown)
    }
  }
  expect(await rowOf(sessionId)).toEqual(before)
  expect((await cardea.client.refresh(refreshToken)).status).toBe(200)
})

test('R51: a handle of a session that never was is not adopted', async () => {
  const count = async () => {
    const query = 'SELECT count(*)::integer AS rows FROM sessions'
    const [row] = await sqlAs(cardea.stores.migrateUrl)<{ rows: number }>(query)
    return row?.rows
  }
  const before = await count()
  expect(await cardea.client.refresh(writeNew())).toMatchObject(unknown)
  expect(await count()).toBe(before)
})

describe('an altered or made-up handle', () => {
  const untouchable = async (): Promise<never> => {
    throw new Error('the store was asked')
  }
  const refresh = refreshSession({
    clock: { nowMs: () => 0, monotonicMs: () => 0 },
    codec: codecOf([secret]),
    mint: () => ({ token: '', expiresInSeconds: 900, tokenId: '' }),
    sessions: { find: untouchable },
    rotations: { rotate: untouchable, prolong: untouchable, resume: untouchable },
    inTransaction: untouchable,
    rules: { graceMs: 10_000, lostResponse: 'resume' },
    settings: {
      issuer: 'a',
      audiences: ['a'],
      sessionAbsoluteSeconds: 60,
      browserSessionSeconds: 60,
    },
    idleSeconds: 60,
    isRevoked: () => false,
    mayRecord: async () => true,
  })
  const client = { address: '192.0.2.1', userAgent: undefined, requestId: 'r' }
  const present = (presented: string) => refresh({ presented, delivery: 'cookie', client })

  test('R39: never reaches the store, whichever of its bits is flipped; the true one does', async () => {
    const handle = writeNew()
    await expect(present(handle)).rejects.toThrow('the store was asked')
    for (let bit = 0; bit < 86 * 8; bit += 1) {
      const bytes = Buffer.from(handle, 'base64url')
      const place = bit >> 3
      bytes.writeUInt8(bytes.readUInt8(place) ^ (1 << (bit & 7)), place)
      const result = await present(bytes.toString('base64url'))
      expect(result, `bit ${bit}`).toMatchObject({ kind: 'refused', clearsCookie: false })
    }
  })

  test('R51: never reaches the store as another spelling, or cut, or with more behind it', async () => {
    const handle = writeNew()
    const last = handle.at(-1) ?? ''
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    // The last character has two bits to spare: three others decode to the same bytes.
    const loose = `${handle.slice(0, -1)}${alphabet[alphabet.indexOf(last) ^ 1]}`
    expect(Buffer.from(loose, 'base64url')).toEqual(Buffer.from(handle, 'base64url'))
    const spellings = [loose, `${handle}=`, `${handle}A`, handle.slice(0, -1), ` ${handle}`, '']
    for (const text of [...spellings, 'AAAA', '%', '__proto__', 'null']) {
      expect(await present(text), text).toMatchObject({ kind: 'refused', clearsCookie: false })
    }
  })

  test('with a generation that the store cannot count to is refused', async () => {
    const codec = codecOf([secret])
    const base = { sessionId: newId(systemRandom), secret: systemRandom(32) }
    expect(codec.read(codec.write({ ...base, generation: 0x7fff_fffe }))).toBeDefined()
    expect(codec.read(codec.write({ ...base, generation: 0x7fff_ffff }))).toBeUndefined()
    expect(codec.read(codec.write({ ...base, generation: 0xffff_ffff }))).toBeUndefined()
  })
})

test('a session-cookie handle of a live session, with its true secret, is refused', async () => {
  const { refreshToken } = await logIn()
  const cookie = codecOf([secret], keyLabels.sessionHandle).write(handleFields(refreshToken))
  expect(await cardea.client.refresh(cookie)).toMatchObject(unknown)
})

test('a codec without keys, or with a short one, is a mistake of the program', () => {
  expect(() => handleCodec([])).toThrow(TypeError)
  expect(() => handleCodec([{ id: 1, key: Buffer.alloc(31) }])).toThrow(TypeError)
})

test('a rolled secret keeps everybody logged in: old handles are taken, new ones carry the new key id, until the old secret goes', async () => {
  const database = await freshDatabase()
  const before = await startCardea({ database, secrets: [older] })
  const rolled = await startCardea({ database, secrets: [secret, older] })
  onTestFinished(async () => {
    await before.stop()
    await rolled.stop()
    await database.drop()
  })
  const account = await before.createAccount()
  const { refreshToken } = await before.client.logIn(account)
  const left = await before.client.logIn(account)
  const answer = await rolled.client.refresh(refreshToken)
  expect(answer.status).toBe(200)
  const successor = answer.refreshCookie ?? ''
  expect(handleFields(successor).keyId).not.toBe(handleFields(refreshToken).keyId)
  // An instance that has not been restarted yet does not know the new secret: unknown, and nobody is logged out.
  expect(await before.client.refresh(successor)).toMatchObject(unknown)
  expect((await rolled.client.refresh(successor)).status).toBe(200)
  // What only the old secret vouches for is worth nothing once it is gone.
  expect(codecOf([secret]).read(left.refreshToken)).toBeUndefined()
  expect(codecOf([secret, older]).read(left.refreshToken)).toBeDefined()
})
