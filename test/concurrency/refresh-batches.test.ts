import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Sql } from '../../src/infra/postgres/database.ts'
import { keyLabels } from '../../src/keys/index.ts'
import { idToBytes } from '../../src/lib/machine.ts'
import {
  batchedRotations,
  type RotationAttempt,
  type RotationStore,
} from '../../src/refresh/index.ts'
import { handleCodec, sessionSecretDigest } from '../../src/sessions/index.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'
import { quickSession } from '../support/service/quick-session.ts'

let cardea: Cardea
let accountId: string
const statements: string[] = []
let rotations: Pick<RotationStore, 'rotate'>

beforeAll(async () => {
  cardea = await startCardea({ redisUrl: null })
  accountId = (await cardea.createAccount()).id
  const { database } = coreOf()
  const counted: Sql = {
    query: (statement, values) => {
      statements.push(statement.name)
      return database.query(statement, values)
    },
  }
  rotations = batchedRotations(counted)
})
afterAll(() => cardea.stop())

const coreOf = () => {
  const [instance] = cardea.instances
  if (!instance) throw new Error('no instance')
  return instance.core
}

const owner = (text: string, values: readonly unknown[] = []) =>
  sqlAs(cardea.stores.migrateUrl)(text, [...values])

/** A refresh of a new session, as its holder would send it. */
const attemptOf = async (ofAccount = accountId): Promise<RotationAttempt> => {
  const { machine, ring } = coreOf()
  const { refreshToken } = await quickSession(cardea, ofAccount)
  const handle = handleCodec(ring.derive(keyLabels.refreshHandle)).read(refreshToken)
  if (!handle) throw new Error('no handle')
  const nowMs = machine.clock.nowMs()
  return {
    sessionId: handle.sessionId,
    generation: handle.generation,
    secretDigest: sessionSecretDigest(handle.secret),
    delivery: 'cookie',
    nowMs,
    idleExpiresAtMs: nowMs + 3_600_000,
  }
}

const attempts = async (count: number, ofAccount = accountId): Promise<RotationAttempt[]> => {
  const made: RotationAttempt[] = []
  for (let place = 0; place < count; place += 1) made.push(await attemptOf(ofAccount))
  return made
}

/** What came of refreshes at once, and the statements they took. */
const rotateAll = async (all: readonly RotationAttempt[]) => {
  statements.length = 0
  const results = await Promise.allSettled(all.map(rotations.rotate))
  return { results, statements: [...statements] }
}

const factsOf = (results: readonly PromiseSettledResult<unknown>[]) =>
  results.map((result) => (result.status === 'fulfilled' ? result.value : result.reason))

test('64 refreshes at once are one statement, each with the facts of its own session', async () => {
  // An account has a maximum number of sessions.
  const holders = await Promise.all(Array.from({ length: 8 }, () => cardea.createAccount()))
  const all = await Promise.all(holders.map(({ id }) => attempts(8, id))).then((of) => of.flat())
  const { results, statements: sent } = await rotateAll(all)
  expect(sent).toEqual(['session_rotate_many'])
  const own = all.map(({ sessionId, idleExpiresAtMs }, place) => {
    const holder = holders[Math.floor(place / 8)]?.id
    return expect.objectContaining({ sessionId, accountId: holder, generation: 1, idleExpiresAtMs })
  })
  expect(factsOf(results)).toEqual(own)
})

test('a refresh alone is the single statement, also one that asks for something in particular', async () => {
  const [one, other, third] = await attempts(3)
  expect((await rotateAll([one!])).statements).toEqual(['session_rotate'])
  const requested = { scopes: ['account'] }
  const mixed = await rotateAll([
    { ...other!, requested },
    { ...third!, requested },
  ])
  expect(mixed.statements).toEqual(['session_rotate', 'session_rotate'])
  expect(factsOf(mixed.results)).toEqual(
    [other!, third!].map(({ sessionId }) => expect.objectContaining({ sessionId, generation: 1 })),
  )
})

test('two refreshes with one handle get what they would get one after the other', async () => {
  const [one, other] = await attempts(2)
  const { results, statements: sent } = await rotateAll([one!, one!, other!])
  expect(sent).toEqual(['session_rotate_many', 'session_rotate'])
  expect(factsOf(results)).toEqual([
    expect.objectContaining({ sessionId: one!.sessionId, generation: 1 }),
    undefined,
    expect.objectContaining({ sessionId: other!.sessionId, generation: 1 }),
  ])
})

test('what the single statement refuses, a batch refuses too, and nothing else in it', async () => {
  const disabled = await cardea.createAccount()
  const [good, digest, generation, delivery, ended, idle, absolute, revoked] = await attempts(8)
  const ofDisabled = await attemptOf(disabled.id)
  const made = {
    ...(await attemptOf()),
    sessionId: coreOf().machine.random(16).toString('base64url'),
  }
  await owner(`UPDATE accounts SET status = 'disabled' WHERE id = $1`, [idToBytes(disabled.id)])
  const change = (set: string, { sessionId }: RotationAttempt) =>
    owner(`UPDATE sessions SET ${set} WHERE id = $1`, [idToBytes(sessionId)])
  await change(`ended_at = now(), end_reason = 'logout'`, ended!)
  await change(`idle_expires_at = now() - interval '1 hour'`, idle!)
  await change(`absolute_expires_at = now() - interval '1 hour'`, absolute!)
  await change('global_epoch = global_epoch - 1', revoked!)
  const { results } = await rotateAll([
    { ...digest!, secretDigest: Buffer.alloc(32) },
    { ...generation!, generation: 1 },
    { ...delivery!, delivery: 'body' },
    ended!,
    idle!,
    absolute!,
    revoked!,
    ofDisabled,
    made,
    good!,
  ])
  expect(factsOf(results)).toEqual([
    ...Array.from({ length: 9 }, () => undefined),
    expect.objectContaining({ sessionId: good!.sessionId, generation: 1 }),
  ])
})

test('a session that another transaction holds delays no other, and moves on when it is free', async () => {
  const all = await attempts(8)
  const held = all[3]!
  const { database } = coreOf()
  let release: () => void = () => undefined
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  let isHeld: () => void = () => undefined
  const whenHeld = new Promise<void>((resolve) => {
    isHeld = resolve
  })
  const holding = database.transaction(async (sql) => {
    const text = 'SELECT 1 FROM sessions WHERE id = $1 FOR UPDATE'
    await sql.query({ name: 'test_hold', text }, [idToBytes(held.sessionId)])
    isHeld()
    await released
  })
  await whenHeld
  let heldHasMoved = false
  const rotated = all.map(async (attempt) => {
    const facts = await rotations.rotate(attempt)
    if (attempt === held) heldHasMoved = true
    return facts
  })
  const others = await Promise.all(rotated.filter((_, place) => all[place] !== held))
  expect(others.map((facts) => facts?.generation)).toEqual(others.map(() => 1))
  expect(heldHasMoved).toBe(false)
  release()
  await holding
  expect((await rotated[3])?.generation).toBe(1)
})

test('a row that makes the statement fail fails its own refresh alone', async () => {
  const all = await attempts(5)
  const bad = all[2]!
  const name = 'refuse_one_session'
  await owner(`CREATE FUNCTION ${name}() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'this one not' USING ERRCODE = 'P0001'; END $$`)
  await owner(`CREATE TRIGGER ${name} BEFORE UPDATE ON sessions FOR EACH ROW
    WHEN (OLD.id = '\\x${idToBytes(bad.sessionId).toString('hex')}') EXECUTE FUNCTION ${name}()`)
  try {
    const { results } = await rotateAll(all)
    expect(results.map(({ status }) => status)).toEqual(
      all.map((attempt) => (attempt === bad ? 'rejected' : 'fulfilled')),
    )
    expect(factsOf(results)[2]).toHaveProperty('code', 'P0001')
  } finally {
    await owner(`DROP TRIGGER ${name} ON sessions`)
    await owner(`DROP FUNCTION ${name}`)
  }
  expect((await rotateAll([bad])).results).toEqual([
    { status: 'fulfilled', value: expect.objectContaining({ generation: 1 }) },
  ])
})

test('a batch whose connection breaks is not sent again: each refresh gets 503, and its retry a successor', async () => {
  const all = await attempts(3)
  const { database } = coreOf()
  const sent: string[] = []
  const broken: Sql = {
    query: async (statement, values) => {
      sent.push(statement.name)
      // Postgres commits, and the response is lost with its connection.
      await database.query(statement, values)
      throw Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })
    },
  }
  const results = await Promise.allSettled(all.map(batchedRotations(broken).rotate))
  expect(results.map(({ status }) => status)).toEqual(all.map(() => 'rejected'))
  expect(sent).toEqual(['session_rotate_many'])
  const again = await rotateAll(all)
  expect(factsOf(again.results)).toEqual(all.map(() => undefined))
})
