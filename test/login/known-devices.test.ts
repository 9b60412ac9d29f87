import { afterAll, describe, expect, test, vi } from 'vitest'
import { argon2PasswordHasher, loadArgon2 } from '../../src/accounts/index.ts'
import { systemRandom } from '../../src/lib/machine.ts'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { auditEntries } from '../support/service/audit-entries.ts'
import { startCardea, type TestAccount } from '../support/service/cardea.ts'
import type { Answer } from '../support/service/client.ts'

const perSource = 60
const hourMs = 3_600_000
const actor = { kind: 'command-line' } as const
const nextPassword = 'another battery staple, quite correct 8'
const wrong = 'not the password of anybody'

/** Of the service; the limits end by the date, which a test moves on. */
const clock = fakeClock()
let operator: string

// Only the date, by which limits end: everything that waits for something else waits in real time.
vi.useFakeTimers({ toFake: ['Date'] })
// Counted in this process: a Redis that is slow for a moment would be replaced by half of each limit.
const config = { loginFailuresPerSource: perSource }
const cardea = await startCardea({ clock, redisUrl: null, config })
operator = await cardea.operatorToken()
afterAll(async () => {
  await cardea.stop()
  vi.useRealTimers()
})

const core = () => {
  const [instance] = cardea.instances
  if (!instance) throw new Error('no instance')
  return instance.core
}
const asOwner = (text: string, values?: readonly unknown[]) =>
  sqlAs(cardea.stores.migrateUrl)(text, values)
const idOf = ({ id }: TestAccount): Buffer => Buffer.from(id, 'base64url')

/** Each test in windows of its own. */
const pass = (ms: number) => vi.setSystemTime(Date.now() + ms)

const attempt = ({ email }: TestAccount, password: string, deviceToken?: string): Promise<Answer> =>
  cardea.client.post('/login', {
    body: { email, password, delivery: 'body', ...(deviceToken && { device_token: deviceToken }) },
  })

/** A login of a device that was never seen before. */
const newDevice = async (account: TestAccount, password = account.password): Promise<string> => {
  const answer = await attempt(account, password)
  expect(answer, answer.text).toMatchObject({ status: 200 })
  return answer.body.device_token
}

const newDevices = async (account: TestAccount, count: number): Promise<string[]> => {
  const tokens: string[] = []
  for (let made = 0; made < count; made += 1) tokens.push(await newDevice(account))
  return tokens
}

/** How many guesses were judged, and not refused by a limit. */
const judged = (answers: readonly Answer[]): number => {
  for (const { status } of answers) expect([401, 429]).toContain(status)
  return answers.filter(({ status }) => status === 401).length
}

const deviceCookieIn = (headers: Headers): string => {
  const line = headers.getSetCookie().find((one) => one.startsWith('__Host-cardea-device='))
  return line?.split(';')[0] ?? ''
}

const guessWith = async (account: TestAccount, tokens: readonly string[]): Promise<Answer[]> => {
  const answers: Answer[] = []
  for (const token of tokens) answers.push(await attempt(account, wrong, token))
  return answers
}

const setPassword = async (account: TestAccount): Promise<TestAccount> => {
  await core().setPassword({ accountId: account.id, password: nextPassword, actor })
  return { ...account, password: nextPassword }
}

const revoke = async (account: TestAccount): Promise<TestAccount> => {
  const body = { sub: account.id }
  expect((await cardea.client.post('/admin/revoke', { token: operator, body })).status).toBe(200)
  return account
}

const disableForAWhile = async (account: TestAccount): Promise<TestAccount> => {
  for (const status of ['disabled', 'active']) {
    const path = `/admin/accounts/${account.id}`
    const options = { token: operator, body: { status } }
    expect((await cardea.client.send('PATCH', path, options)).status).toBe(200)
  }
  return account
}

const revokeEveryone = async (account: TestAccount): Promise<TestAccount> => {
  await core().revoke({ target: { kind: 'everyone' }, note: undefined, actor })
  operator = await cardea.operatorToken()
  return account
}

test('R109: a device of whoever had an address before is a stranger to the account that has it now', async () => {
  const former = await cardea.createAccount()
  const token = await newDevice(former)
  const moved = `moved-${former.email}`
  await core().changeAccount({ accountId: former.id, email: moved, actor })
  await core().createAccount({ email: former.email, password: nextPassword, roles: [], actor })
  pass(hourMs)
  for (let guess = 0; guess < 6; guess += 1) await attempt(former, wrong)
  expect(judged(await guessWith(former, [token, token, token, token]))).toBe(0)
  // To its own account it is not even known by the new address: the token is bound to both.
  expect((await attempt({ ...former, email: moved }, former.password, token)).status).toBe(200)
})

describe('a device token from before', () => {
  const cases = [
    ['the password was changed', setPassword],
    ['the account was revoked', revoke],
    ['the account was disabled', disableForAWhile],
    ['everyone was revoked', revokeEveryone],
  ] as const
  test.each(cases)('R109: %s makes its device a stranger', async (_name, change) => {
    const before = await cardea.createAccount()
    const kept = await newDevices(before, 6)
    const account = await change(before)
    const own = await newDevice(account)
    // All of them together have what strangers have: four guesses.
    expect(judged(await guessWith(account, [...kept, ...kept]))).toBe(4)
    // And nobody is let in by an old token that would have to wait without it.
    expect((await attempt(account, account.password, kept[0])).status).toBe(429)
    expect((await attempt(account, account.password, own)).status).toBe(200)
    pass(hourMs)
    const again = await attempt(account, account.password, kept[0])
    expect(again.status).toBe(200)
    // The device has a new id, so nothing that was counted for the old one follows it.
    expect(again.body.device_token.slice(24, 45)).not.toBe(kept[0]?.slice(24, 45))
  })

  test('R110: guesses at once with many of them have one budget together', async () => {
    const before = await cardea.createAccount()
    const kept = await newDevices(before, 26)
    const account = await setPassword(before)
    const own = await newDevice(account)
    const guesses = Array.from({ length: 104 }, (_, turn) =>
      attempt(account, wrong, kept[turn % kept.length]),
    )
    expect(judged(await Promise.all(guesses))).toBe(4)
    expect((await attempt(account, account.password, own)).status).toBe(200)
    pass(hourMs)
  })

  test('counts no more for a step-up either', async () => {
    const account = await cardea.createAccount()
    const { email, password } = account
    const before = await cardea.client.post('/login', { body: { email, password } })
    const device = deviceCookieIn(before.headers)
    await revoke(account)
    const session = await cardea.client.logInForCookie(account)
    for (let turn = 0; turn < 4; turn += 1) await attempt(account, wrong)
    const cookie = `__Host-cardea-session=${session}; ${device}`
    const stepUp = () =>
      cardea.client.post('/session/reauthenticate', {
        headers: { cookie },
        body: { password: account.password },
      })
    expect((await stepUp()).status).toBe(429)
    pass(hourMs)
    expect((await stepUp()).status).toBe(200)
  })

  test('goes on counting when only the hash of the same password was renewed', async () => {
    const account = await cardea.createAccount()
    const token = await newDevice(account)
    const parameters = { memoryKib: 7168, passes: 1, lanes: 1 }
    const engine = await loadArgon2()
    const hasher = argon2PasswordHasher({ engine, random: systemRandom, peppers: [], parameters })
    const { phc } = await hasher.hash(account.password)
    const set = 'UPDATE accounts SET password_phc = $2, password_pepper_id = NULL WHERE id = $1'
    await asOwner(set, [idOf(account), phc])
    for (let turn = 0; turn < 4; turn += 1) await attempt(account, wrong)
    const next = await attempt(account, account.password, token)
    expect(next.status).toBe(200)
    expect((await attempt(account, account.password, next.body.device_token)).status).toBe(200)
    expect((await attempt(account, account.password)).status).toBe(429)
    pass(hourMs)
  })
})

describe('a known device', () => {
  test('R109: is locked out by nothing that strangers and other known devices do, for however long', async () => {
    const account = await cardea.createAccount()
    const [own, ...others] = await newDevices(account, 27)
    for (let hour = 0; hour < 3; hour += 1) {
      expect(judged(await guessWith(account, others))).toBe(26)
      pass(hourMs)
    }
    for (let hour = 0; hour < 50; hour += 1) {
      expect((await attempt(account, wrong)).status).toBe(401)
      pass(hourMs)
    }
    expect((await attempt(account, account.password)).status).toBe(401)
    expect((await attempt(account, account.password, own)).status).toBe(200)
    // That it was let in resets what strangers have failed, as before.
    pass(hourMs)
    expect((await attempt(account, account.password)).status).toBe(200)
  })

  test('R109: is not kept waiting by others behind its address', async () => {
    const account = await cardea.createAccount()
    const token = await newDevice(account)
    const nobody = (index: number) => ({ ...account, email: `nobody-${index}@example.com` })
    for (let turn = 0; turn < perSource; turn += 1) await attempt(nobody(turn), wrong)
    expect((await attempt(account, account.password)).status).toBe(429)
    expect((await attempt(account, account.password, token)).status).toBe(200)
    pass(hourMs)
  })

  test('R105: has forty wrong passwords in a row, however slowly they come, and is a stranger then', async () => {
    const account = await cardea.createAccount()
    const [stolen, own] = await newDevices(account, 2)
    const trail = auditEntries(cardea.stores.migrateUrl)
    await trail()
    for (let turn = 1; turn <= 40; turn += 1) {
      expect((await attempt(account, wrong, stolen)).status, `failure ${turn}`).toBe(401)
      pass(hourMs)
    }
    const entries = await trail()
    expect(entries.filter(({ event }) => event === 'login_failed')).toHaveLength(40)
    expect(entries.at(-1)).toMatchObject({ event: 'login_locked', reason: 'device_locked' })
    // From now on its failures are those of strangers, of which there are fifty: fewer than 100 in all.
    const failures = async () => {
      const text = 'SELECT failed_logins FROM accounts WHERE id = $1'
      const [row] = await sqlAs(cardea.stores.migrateUrl)<{ failed_logins: number }>(text, [
        idOf(account),
      ])
      return row?.failed_logins
    }
    expect(await failures()).toBe(0)
    expect((await attempt(account, wrong, stolen)).status).toBe(401)
    expect(await failures()).toBe(1)
    await asOwner('UPDATE accounts SET failed_logins = 50 WHERE id = $1', [idOf(account)])
    pass(hourMs)
    expect((await attempt(account, account.password, stolen)).status).toBe(401)
    expect((await attempt(account, account.password, own)).status).toBe(200)

    // An operator gives both counts back.
    await disableForAWhile(account)
    expect(await rowsOf(account)).toEqual([])
    pass(hourMs)
  })

  test('R105: that logs in starts its count again, and leaves those of other devices', async () => {
    const account = await cardea.createAccount()
    const [one, other] = await newDevices(account, 2)
    await guessWith(account, [one ?? '', one ?? '', other ?? ''])
    expect((await rowsOf(account)).map(({ failures }) => failures).sort()).toEqual([1, 2])
    expect((await attempt(account, account.password, one)).status).toBe(200)
    expect(await rowsOf(account)).toMatchObject([{ failures: 1 }])
    pass(hourMs)
  })

  test('R128: is forgotten a year after its last failure', async () => {
    const account = await cardea.createAccount()
    const [one, other] = await newDevices(account, 2)
    await guessWith(account, [one ?? ''])
    const { accounts } = core().stores
    clock.advance(1)
    await guessWith(account, [other ?? ''])
    const drop = (keptSeconds: number) => accounts.dropDeviceFailures(clock.nowMs(), keptSeconds, 1)
    expect(await drop(365 * 24 * 3600)).toBe(0)
    while ((await drop(0)) > 0);
    expect(await rowsOf(account)).toHaveLength(1)
    pass(hourMs)
  })
})

const rowsOf = (account: TestAccount) =>
  sqlAs(cardea.stores.migrateUrl)<{ failures: number }>(
    'SELECT failures, failed_at FROM device_failures WHERE account_id = $1',
    [idOf(account)],
  )
