import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { runCommandLine } from '../../src/cli/command-line.ts'
import { idFromBytes } from '../../src/lib/id.ts'
import { type AuditEntry, auditEntries } from '../support/audit-entries.ts'
import { type Cardea, startCardea } from '../support/cardea.ts'
import { type FakeClock, fakeClock } from '../support/fake-clock.ts'
import { type ScratchFolder, scratchFolder } from '../support/scratch-folder.ts'
import { basicHeader, introspect } from '../support/service-client.ts'
import { dumpOf, sqlAs } from '../support/sql.ts'
import { type CliSettings, runCli } from './run-cli.ts'

// Every step is a process of its own; on a busy machine each start takes a second or more.
vi.setConfig({ testTimeout: 90_000 })

const secret = 'a-secret-of-this-test-that-is-long-enough'

let clock: FakeClock
let cardea: Cardea
let folder: ScratchFolder
let settings: CliSettings
let trail: () => Promise<AuditEntry[]>

beforeAll(async () => {
  clock = fakeClock()
  cardea = await startCardea({ clock, secrets: [secret] })
  folder = await scratchFolder('client')
  settings = {
    DATA_DIR: join(folder.path, 'data'),
    DATABASE_URL: cardea.stores.databaseUrl,
    REDIS_URL: cardea.config.redisUrl ?? '',
    CARDEA_SECRET: secret,
  }
  trail = auditEntries(cardea.stores.migrateUrl)
})
afterAll(async () => {
  await cardea.stop()
  await folder.remove()
})

const run = (...args: string[]) => runCli(['client', ...args], settings)

const statusFor = async (clientId: string, clientSecret: string) =>
  (await introspect(cardea.client, basicHeader(clientId, clientSecret), { token: 'x' })).status

test('a client is made, listed, let in by the running service, disabled and shut out', async () => {
  await trail()
  const made = await run('create', '--name', 'shop', '--json')
  expect([made.code, made.stderr]).toEqual([0, ''])
  const { client_id: id, client_secret: clientSecret } = made.json()
  expect(made.json()).toEqual({
    client_id: expect.stringMatching(/^[\w-]{22}$/),
    client_secret: expect.stringMatching(/^[\w-]{43}$/),
    name: 'shop',
  })
  expect(Object.keys(made.json())).toEqual(['client_id', 'client_secret', 'name'])
  expect(await statusFor(id, clientSecret)).toBe(200)

  const listed = await run('list', '--json')
  const shown = { client_id: id, name: 'shop', created_at: expect.stringMatching(/Z$/) }
  expect(listed.json()).toEqual({ clients: [shown] })
  expect(listed.stdout).not.toContain(clientSecret)

  const disabled = await run('disable', id, '--json')
  expect(disabled.json()).toEqual({ ...shown, disabled_at: expect.stringMatching(/Z$/) })
  clock.advance(5_000)
  expect(await statusFor(id, clientSecret)).toBe(401)

  const again = await run('disable', id, '--json')
  expect([again.code, again.stdout]).toEqual([0, disabled.stdout])
  expect((await run('list')).stdout).toMatch(new RegExp(`^${id}  disabled  \\S+Z  shop\\n$`))
  expect(await trail()).toMatchObject([
    { event: 'service_client_created', actor: 'command-line', details: { clientId: id } },
    { event: 'service_client_disabled', actor: 'command-line', details: { name: 'shop' } },
  ])
  expect(await dumpOf(cardea.stores.migrateUrl)).not.toContain(clientSecret)
})

test('without --json it prints facts below each other, and says that the secret is not shown again', async () => {
  const { code, stdout } = await run('create', '--name', 'mail')
  expect(code).toBe(0)
  const [, id = '', clientSecret = ''] =
    /^client_id {6}([\w-]{22})\nclient_secret {2}([\w-]{43})\nname {11}mail\n.*not shown again.*\n$/.exec(
      stdout,
    ) ?? []
  expect(await statusFor(id, clientSecret)).toBe(200)
  expect((await run('list')).stdout).toMatch(new RegExp(`^${id}  active    \\S+Z  mail$`, 'm'))
})

test('a name that is taken or not plain is refused with its code', async () => {
  await run('create', '--name', 'taken')
  for (const [name, code] of [
    ['taken', 'client_name_taken'],
    ['two words', 'invalid_client_name'],
    ['', 'invalid_client_name'],
  ]) {
    const refused = await run('create', '--name', name ?? '', '--json')
    expect([refused.code, refused.stdout]).toEqual([1, ''])
    expect(JSON.parse(refused.stderr)).toMatchObject({ code })
  }
})

test('an id that begins with a hyphen is taken for an id, and one that nobody has is refused', async () => {
  const id = idFromBytes(Buffer.from('f8'.padEnd(32, '0'), 'hex'))
  expect(id).toMatch(/^-/)
  const unknown = await run('disable', id)
  expect(unknown.code).toBe(1)
  expect(unknown.stderr).toMatch(/^error: There is no such service client\.\nhint: .*client list/)
  await sqlAs(cardea.stores.migrateUrl)(
    "INSERT INTO service_clients VALUES ($1, 'hyphenated', now())",
    [Buffer.from(id, 'base64url')],
  )
  for (const args of [
    [id, '--json'],
    ['--json', id],
    ['--json', '--', id],
  ]) {
    const disabled = await run('disable', ...args)
    expect([disabled.code, disabled.stderr]).toEqual([0, ''])
    expect(disabled.json()).toMatchObject({ client_id: id, disabled_at: expect.any(String) })
  }
})

test('what is not written as it must be is a usage error, and nothing is opened', async () => {
  for (const args of [
    ['client'],
    ['client', 'create'],
    ['client', 'create', '--name'],
    ['client', 'create', '--name', 'a', 'b'],
    ['client', 'disable'],
    ['client', 'disable', 'not-an-id'],
    ['client', 'disable', '--jsno'],
    ['client', 'disable', 'A'.repeat(22), 'B'.repeat(22)],
    ['client', 'list', 'all'],
  ]) {
    const told: string[] = []
    expect(await runCommandLine(args, (text) => void told.push(text)), args.join(' ')).toBe(2)
    expect(told.join('')).toMatch(/^error: .+\nhint: .+\n$/)
  }
})
