import { join } from 'node:path'
import { afterAll, expect, onTestFinished, test, vi } from 'vitest'
import { runCommandLine } from '../../src/cli/command-line.ts'
import { scratchFolder } from '../support/programs/scratch-folder.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { auditEntries } from '../support/service/audit-entries.ts'
import { startCardea } from '../support/service/cardea.ts'
import { quickSession } from '../support/service/quick-session.ts'
import { headerOf } from '../support/service/verified-claims.ts'
import { runCli, runCliProcess } from './run-cli.ts'

const secret = 'a-secret-of-this-test-that-is-long-enough'
const kidForm = /^[\w-]{43}$/

const cardea = await startCardea({ secrets: [secret] })
const folder = await scratchFolder('keys')
const settings = {
  DATA_DIR: join(folder.path, 'data'),
  DATABASE_URL: cardea.stores.databaseUrl,
  REDIS_URL: cardea.config.redisUrl ?? '',
  CARDEA_SECRET: secret,
}
const trail = auditEntries(cardea.stores.migrateUrl)
await trail()
afterAll(async () => {
  await cardea.stop()
  await folder.remove()
})

const run = (...args: string[]) => runCli(['keys', ...args], settings)

const runProcess = (...args: string[]) => runCliProcess(['keys', ...args], settings)

type Row = { kid: string; state: string }

const rows = () =>
  sqlAs(cardea.stores.migrateUrl)<Row>('SELECT * FROM signing_keys ORDER BY created_at, kid')

const kidIn = async (state: string): Promise<string> =>
  (await rows()).find((row) => row.state === state)?.kid ?? `none is ${state}`

const signedWith = async (): Promise<string> => {
  const { id } = await cardea.createAccount()
  const answer = await cardea.client.refresh((await quickSession(cardea, id)).refreshToken)
  expect(answer.status).toBe(200)
  return headerOf(answer.body.access_token).kid ?? ''
}

/** As if an hour had passed since the keys were made. */
const anHourLater = () =>
  sqlAs(cardea.stores.migrateUrl)(
    `UPDATE signing_keys SET created_at = created_at - interval '1 hour'`,
  )

test('the keys are listed: the one that signs and the next one', async () => {
  const time = expect.stringMatching(/^\d{4}-.*Z$/)
  const common = { kid: expect.stringMatching(kidForm), algorithm: 'ES256', created_at: time }
  const listed = await runProcess('list', '--json')
  const keys: Row[] = listed.json().keys
  expect(keys.toSorted((one, other) => one.state.localeCompare(other.state))).toEqual([
    { ...common, state: 'active', activated_at: time },
    { ...common, state: 'next' },
  ])
  expect(keys.map(({ kid }) => kid)).toEqual((await rows()).map(({ kid }) => kid))
  const { code, stdout, stderr } = await run('list')
  expect([code, stderr]).toEqual([0, ''])
  expect(stdout).toMatch(/^[\w-]{43} {2}active {4}ES256 {4}signs since \S+Z$/m)
  expect(stdout).toMatch(/^[\w-]{43} {2}next {6}ES256 {4}published \S+Z$/m)
})

test('a rotation is planned while the next key is young, done beside the running service when it is not', async () => {
  const [active, next] = [await kidIn('active'), await kidIn('next')]
  const planned = await run('rotate', '--json')
  expect([planned.code, planned.stderr]).toEqual([0, ''])
  expect(planned.json()).toEqual({
    result: 'planned',
    next,
    algorithm: 'ES256',
    signs_from: expect.stringMatching(/Z$/),
  })
  const again = await run('rotate')
  expect([again.code, again.stderr]).toEqual([0, ''])
  expect(again.stdout).toContain(`${next} (ES256) signs from ${planned.json().signs_from} on\n`)
  expect(await signedWith()).toBe(active)

  await anHourLater()
  const rotated = await runProcess('rotate', '--json')
  expect(rotated.json()).toEqual({ result: 'rotated', active: next, next: await kidIn('next') })
  expect(await kidIn('retiring')).toBe(active)
  await cardea.instances[0]?.core.keys.keep()
  expect(await signedWith()).toBe(next)
  expect((await trail()).filter(({ event }) => event.startsWith('signing_key'))).toMatchObject([
    { event: 'signing_key_rotation_planned', actor: 'command-line', details: { kid: next } },
    { event: 'signing_key_rotated', actor: 'command-line', details: { active: next } },
  ])
})

test('R79: revoking the active key beside the running service: it signs with the next one at once, and twice is fine', async () => {
  const kid = await signedWith()
  const next = await kidIn('next')
  await trail()
  const revoked = await runProcess('revoke', kid, '--reason', 'found in a log', '--json')
  expect([revoked.code, revoked.stderr]).toEqual([0, ''])
  const { seq, committed_at: committed, effective_by: effective } = revoked.json()
  expect(seq).toBeGreaterThan(0)
  expect(Date.parse(effective) - Date.parse(committed)).toBe(5_000)
  // No reading of the rows is due: the entry in the log alone tells the service.
  await vi.waitFor(async () => expect(await signedWith()).toBe(next))
  expect(await kidIn('gone')).toBe(kid)
  expect((await trail())[0]).toMatchObject({
    event: 'signing_key_revoked',
    actor: 'command-line',
    details: { kid, was: 'active', active: next, note: 'found in a log' },
  })
  const again = await run('revoke', kid)
  expect(again.code).toBe(0)
  expect(again.stdout).toMatch(
    /^seq {11}\d+\ncommitted_at {2}\S+Z\neffective_by {2}\S+Z\nchecked {7}yes\n$/,
  )
  expect(await signedWith()).toBe(next)
  expect((await run('list', '--all')).stdout).toMatch(
    new RegExp(`^${kid}  gone {6}ES256 {4}revoked \\S+Z$`, 'm'),
  )
})

test('a kid that nobody knows is refused, also one that begins like an option, and what is no kid is not understood', async () => {
  for (const kid of [`-${'A'.repeat(42)}`, `--json${'A'.repeat(37)}`]) {
    const unknown = await run('revoke', kid)
    expect([unknown.code, unknown.stdout], kid).toEqual([1, ''])
    expect(unknown.stderr).toMatch(/^error: There is no such signing key\.\nhint: .*keys list/)
  }
  const tooLong = ['revoke', 'A'.repeat(43), '--reason', 'x'.repeat(201)]
  for (const args of [[], ['revoke'], ['revoke', 'short'], ['revoke', '--jsn'], tooLong]) {
    const said: string[] = []
    const code = await runCommandLine(['keys', ...args], (text) => said.push(text))
    expect({ args, code }).toEqual({ args, code: 2 })
    expect(said.join('')).toMatch(/^error: .+\nhint: .+\n$/)
  }
})

test('R90: under the wrong secret a rotation is refused, and nothing is made', async () => {
  const before = await rows()
  const wrong = { ...settings, CARDEA_SECRET: 'another-secret-of-this-test-that-is-long-enough' }
  const refused = await runCli(['keys', 'rotate', '--json'], wrong)
  expect([refused.code, refused.stdout]).toEqual([3, ''])
  expect(JSON.parse(refused.stderr)).toMatchObject({ code: 'wrong_secret' })
  expect(await rows()).toEqual(before)
})

test('with a database that never had a key, a rotation says so', async () => {
  const empty = await startCardea({ secrets: [secret] })
  onTestFinished(() => empty.stop())
  await sqlAs(empty.stores.migrateUrl)('DELETE FROM signing_keys')
  const there = { ...settings, DATABASE_URL: empty.stores.databaseUrl }
  const { code, stderr } = await runCli(['keys', 'rotate', '--json'], there)
  expect(code).toBe(1)
  expect(JSON.parse(stderr)).toMatchObject({ code: 'no_signing_keys' })
})
