import { beforeEach, describe, expect, test } from 'vitest'
import { type FakeClock, pastClock } from '../support/clocks/fake-clock.ts'
import { hourMs, type KeyInstanceOptions, keyDatabase, keyInstance } from './key-instances.ts'

const store = keyDatabase()
let clock: FakeClock

beforeEach(async () => {
  clock = pastClock()
})

const newInstance = (options: Partial<KeyInstanceOptions> = {}) =>
  keyInstance({ database: store.connect(), clock, ...options })

const start = async (options: Partial<KeyInstanceOptions> = {}) => {
  const instance = newInstance(options)
  await instance.keys.open()
  return instance
}

const withdraw = async ({ keys, inTransaction }: ReturnType<typeof newInstance>, kid: string) => {
  const withdrawal = await keys.withdraw(kid)
  const result = await inTransaction(({ signingKeys }) => withdrawal(signingKeys))
  await keys.reread()
  return result
}

const states = async (): Promise<Record<string, string>> => {
  const { rows } = await store.owner.query(
    'SELECT kid, state FROM signing_keys ORDER BY created_at, kid',
  )
  return Object.fromEntries(rows.map(({ kid, state }) => [kid, state]))
}

const kidIn = async (wanted: string): Promise<string> =>
  Object.entries(await states()).find(([, state]) => state === wanted)?.[0] ?? 'none'

const sealedOf = async (kid: string) =>
  (await store.owner.query('SELECT sealed_private FROM signing_keys WHERE kid = $1', [kid])).rows[0]
    ?.sealed_private

describe('the active key', () => {
  test('R79: signs no more from the same transaction on: the next one does, and another is published', async () => {
    const instance = await start()
    const { keys } = instance
    const [stolen, next] = [keys.signer().kid, await kidIn('next')]
    expect(await withdraw(instance, stolen)).toEqual({ was: 'active', active: next })
    expect(keys.signer().kid).toBe(next)
    expect(keys.verificationKey(stolen)).toBeUndefined()
    const spare = await kidIn('next')
    expect(keys.verificationKey(spare)?.kid).toBe(spare)
    expect(await states()).toEqual({ [stolen]: 'gone', [next]: 'active', [spare]: 'next' })
    expect(await sealedOf(stolen)).toBeNull()
  })

  test('may be revoked again and again: each time there is one that signs and one that is next', async () => {
    const instance = await start()
    for (let turn = 0; turn < 4; turn += 1) {
      const { kid } = instance.keys.signer()
      await withdraw(instance, kid)
      expect(instance.keys.signer().kid).not.toBe(kid)
    }
    const all = Object.values(await states())
    expect(all.toSorted()).toEqual(['active', 'gone', 'gone', 'gone', 'gone', 'next'])
  })

  test('without a next key is followed by one made for it', async () => {
    const instance = await start()
    const { kid } = instance.keys.signer()
    await store.owner.query(`DELETE FROM signing_keys WHERE state = 'next'`)
    const { active } = await withdraw(instance, kid)
    expect(instance.keys.signer().kid).toBe(active)
    expect(await instance.keys.keep()).toMatchObject({ kind: 'done', step: { kind: 'add' } })
  })

  test('in the middle of a change of algorithm is followed by the new kind, and the change is not undone', async () => {
    await start()
    const instance = await start({ algorithm: 'Ed25519' })
    await instance.keys.rotate({ kind: 'command-line' })
    await withdraw(instance, instance.keys.signer().kid)
    expect(instance.keys.signer().algorithm).toBe('Ed25519')
    clock.advance(2 * hourMs)
    expect(await instance.keys.keep()).toEqual({ kind: 'nothing_due' })
  })

  test('can be revoked by a command with the wrong secret, which makes no key; an instance then adds one', async () => {
    const { keys } = await start()
    const [stolen, next] = [keys.signer().kid, await kidIn('next')]
    const command = newInstance({ secrets: ['another secret, also long enough to be one'] })
    expect(await withdraw(command, stolen)).toEqual({ was: 'active', active: next })
    expect(await states()).toEqual({ [stolen]: 'gone', [next]: 'active' })
    expect(await keys.keep()).toMatchObject({ kind: 'done', step: { kind: 'add' } })
    expect(keys.signer().kid).toBe(next)
  })

  test('stays when nothing could take its place: a service without a key would be no better', async () => {
    const { keys } = await start()
    const { kid } = keys.signer()
    await store.owner.query(`DELETE FROM signing_keys WHERE state = 'next'`)
    const command = newInstance({ secrets: ['another secret, also long enough to be one'] })
    await expect(withdraw(command, kid)).rejects.toMatchObject({ code: 'signing_keys_unavailable' })
    expect(await states()).toEqual({ [kid]: 'active' })
  })
})

describe('another key', () => {
  test('the next one is replaced, and the active one goes on', async () => {
    const instance = await start()
    const { kid } = instance.keys.signer()
    const next = await kidIn('next')
    clock.advance(hourMs)
    expect(await withdraw(instance, next)).toEqual({ was: 'next' })
    expect(instance.keys.signer().kid).toBe(kid)
    const spare = await kidIn('next')
    expect(await states()).toEqual({ [kid]: 'active', [next]: 'gone', [spare]: 'next' })
    // The new one has to be published for an hour like any other.
    expect(await instance.keys.rotate({ kind: 'command-line' })).toMatchObject({ kind: 'planned' })
  })

  test('a retiring one verifies no more', async () => {
    const instance = await start()
    const { kid } = instance.keys.signer()
    clock.advance(hourMs)
    await instance.keys.rotate({ kind: 'command-line' })
    expect(await withdraw(instance, kid)).toEqual({ was: 'retiring' })
    expect(instance.keys.verificationKey(kid)).toBeUndefined()
    expect(Object.values(await states())).toHaveLength(3)
  })

  test('one that is gone may be named again; the time of the first revocation is kept', async () => {
    const instance = await start()
    const { kid } = instance.keys.signer()
    await withdraw(instance, kid)
    const revokedAtMs = clock.nowMs()
    clock.advance(hourMs)
    const before = await states()
    expect(await withdraw(instance, kid)).toEqual({ was: 'gone' })
    expect(await states()).toEqual(before)
    const record = (await instance.keys.list()).find((key) => key.kid === kid)
    expect(record).toMatchObject({ state: 'gone', revokedAtMs })
  })
})

test('two that revoke the active key at the same moment leave one that signs and one that is next', async () => {
  const instances = [await start(), await start()]
  const kid = instances[0]?.keys.signer().kid ?? ''
  const results = await Promise.all(instances.map((instance) => withdraw(instance, kid)))
  expect(results.map(({ was }) => was).toSorted()).toEqual(['active', 'gone'])
  expect(Object.values(await states()).toSorted()).toEqual(['active', 'gone', 'next'])
})
