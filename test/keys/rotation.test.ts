import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type SigningAlgorithm, WrongKeyEncryptionKey } from '../../src/keys/index.ts'
import { keptAfterRetirementMs } from '../../src/keys/key-schedule.ts'
import { type FakeClock, pastClock } from '../support/clocks/fake-clock.ts'
import { type AuditEntry, auditEntries } from '../support/service/audit-entries.ts'
import {
  dayMs,
  hourMs,
  type KeyInstanceOptions,
  keyDatabase,
  keyInstance,
  keySecret,
} from './key-instances.ts'

const commandLine = { kind: 'command-line' } as const

const store = keyDatabase()
let clock: FakeClock
let trail: () => Promise<AuditEntry[]>

beforeAll(async () => {
  trail = auditEntries(store.ownerUrl)
})
beforeEach(async () => {
  await trail()
  clock = pastClock()
})

const newInstance = (options: Partial<KeyInstanceOptions> = {}) =>
  keyInstance({ database: store.connect(), clock, ...options })

const start = async (options: Partial<KeyInstanceOptions> = {}) => {
  const { keys } = newInstance(options)
  await keys.open()
  return keys
}

type Row = {
  kid: string
  state: string
  algorithm: SigningAlgorithm
  sealed_private: Buffer | null
}

const rows = async (): Promise<Row[]> =>
  (await store.owner.query<Row>('SELECT * FROM signing_keys ORDER BY created_at, kid')).rows

const kidsIn = async (state: string): Promise<string[]> =>
  (await rows()).filter((row) => row.state === state).map(({ kid }) => kid)

const kidIn = async (state: string): Promise<string> => {
  const [kid = `none is ${state}`, ...more] = await kidsIn(state)
  expect(more).toEqual([])
  return kid
}

/** Everything that is due now, done by this instance. */
const keepAll = async ({ keep }: Awaited<ReturnType<typeof start>>): Promise<string[]> => {
  const done: string[] = []
  for (;;) {
    const kept = await keep()
    if (kept.kind !== 'done') return done
    done.push(kept.step.kind)
  }
}

describe('the life of a key', () => {
  test('R86: next, active, retiring, gone: published an hour before it signs, and until its last token is over', async () => {
    const keys = await start()
    const first = keys.signer().kid
    const second = await kidIn('next')
    expect(await keepAll(keys)).toEqual([])

    clock.advance(30 * dayMs)
    expect(await keepAll(keys)).toEqual(['rotate'])
    expect(keys.signer().kid).toBe(second)
    expect(await kidIn('retiring')).toBe(first)
    const third = await kidIn('next')
    for (const kid of [first, second, third]) expect(keys.verificationKey(kid)?.kid).toBe(kid)

    clock.advance(keptAfterRetirementMs)
    expect(await keepAll(keys)).toEqual([])
    expect(keys.verificationKey(first)?.kid).toBe(first)
    clock.advance(1)
    expect(await keepAll(keys)).toEqual(['erase'])
    expect(keys.verificationKey(first)).toBeUndefined()
    expect(await kidIn('gone')).toBe(first)
    expect((await rows()).find(({ kid }) => kid === first)?.sealed_private).toBeNull()

    clock.advance(30 * dayMs)
    expect(await keepAll(keys)).toEqual(['rotate'])
    expect(keys.signer().kid).toBe(third)
  })

  test('R112: each step leaves one entry in the trail, and the first start one', async () => {
    const keys = await start()
    const [first, second] = [keys.signer().kid, await kidIn('next')]
    clock.advance(30 * dayMs)
    await keepAll(keys)
    const third = await kidIn('next')
    clock.advance(dayMs)
    await keepAll(keys)
    const common = { outcome: 'success', actor: 'system', account: null }
    expect(await trail()).toMatchObject([
      { ...common, event: 'signing_key_added', details: { active: first, next: second } },
      {
        ...common,
        event: 'signing_key_rotated',
        details: { kid: first, active: second, next: third, algorithm: 'ES256' },
      },
      { ...common, event: 'signing_key_erased', details: { kid: first } },
    ])
  })

  test('a database of an earlier version, without a next key, gets one', async () => {
    const keys = await start()
    await store.owner.query(`DELETE FROM signing_keys WHERE state = 'next'`)
    expect(await keepAll(keys)).toEqual(['add'])
    const next = await kidIn('next')
    expect(keys.verificationKey(next)?.kid).toBe(next)
    expect(await trail()).toMatchObject([
      { event: 'signing_key_added' },
      { event: 'signing_key_added', details: { next } },
    ])
  })
})

describe('asking for a rotation', () => {
  test('R86: twice in a row plans the second for an hour later: no key signs sooner', async () => {
    const keys = await start()
    clock.advance(hourMs)
    await keys.rotate(commandLine)
    const [signing, next] = [keys.signer().kid, await kidIn('next')]
    const planned = { kind: 'planned', next, algorithm: 'ES256', atMs: clock.nowMs() + hourMs }
    expect(await keys.rotate(commandLine)).toEqual(planned)
    clock.advance(hourMs / 2)
    expect(await keys.rotate(commandLine)).toEqual(planned)
    expect(await keepAll(keys)).not.toContain('rotate')
    expect(keys.signer().kid).toBe(signing)
    clock.advance(hourMs / 2)
    expect(await keepAll(keys)).toContain('rotate')
    expect(keys.signer().kid).toBe(next)
  })

  test('R112: leaves one entry each, of the operator; asking again for what is planned leaves none', async () => {
    const keys = await start()
    const [first, second] = [keys.signer().kid, await kidIn('next')]
    for (let turn = 0; turn < 3; turn += 1) await keys.rotate(commandLine)
    clock.advance(hourMs)
    await keys.rotate(commandLine)
    const [, ...entries] = await trail()
    expect(entries).toMatchObject([
      {
        event: 'signing_key_rotation_planned',
        actor: 'command-line',
        details: { kid: second },
      },
      {
        event: 'signing_key_rotated',
        actor: 'command-line',
        details: { kid: first, active: second },
      },
    ])
    expect(entries).toHaveLength(2)
  })
})

describe('several instances', () => {
  /** All of them have decided and wait for the lock that the test holds. */
  const whileAllWait = async <T>(count: number, act: () => Promise<T>): Promise<T> => {
    await store.owner.query('BEGIN')
    await store.owner.query('SELECT pg_advisory_xact_lock(1801812339)')
    const acting = act()
    const waiting = `SELECT count(*)::int AS count FROM pg_locks
                     WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
    await expect.poll(async () => (await store.owner.query(waiting)).rows[0].count).toBe(count)
    await store.owner.query('COMMIT')
    return acting
  }

  test('R87: three that rotate at the same moment rotate once, and the others know that somebody did', async () => {
    const instances = [await start(), await start(), await start()]
    const second = await kidIn('next')
    clock.advance(30 * dayMs)
    const kept = await whileAllWait(3, () => Promise.all(instances.map(({ keep }) => keep())))
    expect(kept.map(({ kind }) => kind).toSorted()).toEqual([
      'done',
      'done_by_another',
      'done_by_another',
    ])
    expect(await rows()).toHaveLength(3)
    for (const keys of instances) expect(keys.signer().kid).toBe(second)
    expect((await trail()).map(({ event }) => event)).toEqual([
      'signing_key_added',
      'signing_key_rotated',
    ])
    for (const { keep } of instances) expect(await keep()).toEqual({ kind: 'nothing_due' })
  })

  test('R87: two operators who ask at the same moment get one rotation', async () => {
    const instances = [await start(), await start()]
    clock.advance(hourMs)
    const asked = () => Promise.all(instances.map(({ rotate }) => rotate(commandLine)))
    const kinds = (await whileAllWait(2, asked)).map(({ kind }) => kind)
    expect(kinds.toSorted()).toEqual(['done_by_another', 'rotated'])
    expect(await kidsIn('retiring')).toHaveLength(1)
  })

  test('R87: one that has not heard of a rotation signs with a key that is still published everywhere', async () => {
    const [quick, slow] = [await start(), await start()]
    clock.advance(30 * dayMs)
    await slow.keep()
    clock.advance(hourMs)
    await slow.keep()
    await quick.rotate(commandLine)
    const old = slow.signer().kid
    expect(old).not.toBe(quick.signer().kid)
    expect(quick.verificationKey(old)?.kid).toBe(old)
    expect(slow.verificationKey(quick.signer().kid)?.kid).toBe(quick.signer().kid)
  })
})

describe('what breaks in the middle', () => {
  test('R87: a rotation that fails before its commit leaves everything as it was, and the next one does it', async () => {
    let isBroken = true
    const keys = await start({
      beforeCommit: async () => {
        if (isBroken && clock.monotonicMs() > 0) throw new Error('the process died here')
      },
    })
    const first = keys.signer().kid
    clock.advance(30 * dayMs)
    const before = await rows()
    await expect(keys.keep()).rejects.toThrow('the process died here')
    expect(await rows()).toEqual(before)
    expect(keys.signer().kid).toBe(first)
    expect((await trail()).map(({ event }) => event)).toEqual(['signing_key_added'])
    isBroken = false
    expect(await keepAll(keys)).toEqual(['rotate'])
  })

  test('R87: keys that were damaged meanwhile change nothing in an instance that runs, and it says so', async () => {
    const keys = await start()
    const { kid } = keys.signer()
    await store.owner.query(`UPDATE signing_keys SET state = 'gone', sealed_private = NULL`)
    await expect(keys.keep()).rejects.toThrow('none is active')
    expect(keys.signer().kid).toBe(kid)
    expect(keys.verificationKey(kid)?.kid).toBe(kid)
  })
})

describe('an instance with the wrong secret', () => {
  const otherSecret = 'another secret, also long enough to be one'

  test('R90: keeps the keys it has when one appears that it cannot open, says so, and makes none', async () => {
    const old = await start()
    const { kid } = old.signer()
    clock.advance(30 * dayMs)
    await old.keep()
    clock.advance(hourMs)
    await old.keep()
    // Somebody put a new secret in front on one instance before the others knew it.
    const rolled = await start({ secrets: [otherSecret, keySecret] })
    await rolled.rotate(commandLine)
    const before = await rows()
    await expect(old.keep()).rejects.toThrow(WrongKeyEncryptionKey)
    await expect(old.rotate(commandLine)).rejects.toThrow(WrongKeyEncryptionKey)
    expect(await rows()).toEqual(before)
    expect(old.signer().kid).not.toBe(kid)
    // What it signs with is published by the others for as long as it may go on.
    expect(rolled.verificationKey(old.signer().kid)?.kid).toBe(old.signer().kid)
    clock.advance(11 * 60_000 + 1)
    expect(() => old.signer()).toThrow('could not be read for too long')
  })

  test('R90: a command with the wrong secret never seals a key that the service could not open', async () => {
    const keys = await start()
    const command = newInstance({ secrets: [otherSecret] }).keys
    clock.advance(hourMs)
    const before = await rows()
    await expect(command.rotate(commandLine)).rejects.toThrow(WrongKeyEncryptionKey)
    expect(await rows()).toEqual(before)
    await keys.keep()
  })
})

describe('a change of algorithm', () => {
  const published = (keys: Awaited<ReturnType<typeof start>>, kids: string[]) =>
    kids.map((kid) => keys.verificationKey(kid)?.algorithm)

  test.for(['RS256', 'Ed25519'] as const)(
    'to %s: published for an hour, then signs; the two kinds are mixed for that hour and until the last old token is over',
    async (algorithm) => {
      await start()
      const keys = await start({ algorithm })
      const [old, unused] = [keys.signer().kid, await kidIn('next')]
      const asked = await keys.rotate(commandLine)
      const next = await kidIn('next')
      expect(asked).toEqual({ kind: 'planned', next, algorithm, atMs: clock.nowMs() + hourMs })
      // The old next key never signed: it goes at once.
      expect(await kidIn('gone')).toBe(unused)
      expect(published(keys, [old, next])).toEqual(['ES256', algorithm])
      expect(await keepAll(keys)).toEqual([])
      expect(keys.signer().kid).toBe(old)

      clock.advance(hourMs)
      expect(await keepAll(keys)).toEqual(['rotate'])
      expect(keys.signer()).toMatchObject({ kid: next, algorithm })
      expect(keys.verificationKey(old)?.algorithm).toBe('ES256')
      clock.advance(keptAfterRetirementMs + 1)
      expect(await keepAll(keys)).toEqual(['erase'])
      const left = (await rows()).filter(({ state }) => state !== 'gone')
      expect(left.map((row) => row.algorithm)).toEqual([algorithm, algorithm])
    },
  )

  test('begins by itself with the next scheduled rotation, and an instance of the old setting does not undo it', async () => {
    const old = await start()
    const changed = await start({ algorithm: 'Ed25519' })
    expect(await keepAll(changed)).toEqual([])
    clock.advance(30 * dayMs)
    expect(await keepAll(changed)).toEqual(['replace'])
    for (let turn = 0; turn < 3; turn += 1) {
      expect(await keepAll(old)).toEqual([])
      expect(await keepAll(changed)).toEqual([])
    }
    clock.advance(hourMs)
    expect(await keepAll(old)).toEqual(['rotate'])
    expect(old.signer().algorithm).toBe('Ed25519')
    expect((await rows()).find(({ state }) => state === 'next')?.algorithm).toBe('Ed25519')
  })
})
