import { join } from 'node:path'
import { afterAll, expect, test, vi } from 'vitest'
import { runCommandLine } from '../../src/cli/command-line.ts'
import { idFromBytes } from '../../src/lib/machine.ts'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { scratchFolder } from '../support/programs/scratch-folder.ts'
import { dumpOf, sqlAs } from '../support/servers/sql.ts'
import { auditEntries } from '../support/service/audit-entries.ts'
import { startCardea } from '../support/service/cardea.ts'
import { basicHeader, introspect, postForm } from '../support/service/service-client.ts'
import { runCli, runCliProcess } from './run-cli.ts'

const secret = 'a-secret-of-this-test-that-is-long-enough'

const clock = fakeClock()
const cardea = await startCardea({ clock, secrets: [secret] })
const folder = await scratchFolder('client')
const settings = {
  ISSUER: cardea.config.issuer,
  DATA_DIR: join(folder.path, 'data'),
  DATABASE_URL: cardea.stores.databaseUrl,
  REDIS_URL: cardea.config.redisUrl ?? '',
  CARDEA_SECRET: secret,
}
const trail = auditEntries(cardea.stores.migrateUrl)
afterAll(async () => {
  await cardea.stop()
  await folder.remove()
})

const run = (...args: string[]) => runCli(['client', ...args], settings)

const runProcess = (...args: string[]) => runCliProcess(['client', ...args], settings)

const statusFor = async (clientId: string, clientSecret: string) =>
  (await introspect(cardea.client, basicHeader(clientId, clientSecret), { token: 'x' })).status

test('a client is made, listed, let in by the running service, disabled and shut out', async () => {
  await trail()
  const made = await runProcess('create', '--name', 'shop', '--json')
  expect([made.code, made.stderr]).toEqual([0, ''])
  const { client_id: id, client_secret: clientSecret } = made.json()
  expect(made.json()).toEqual({
    client_id: expect.stringMatching(/^[\w-]{22}$/),
    client_secret: expect.stringMatching(/^[\w-]{43}$/),
    name: 'shop',
    scopes: [],
    audiences: [settings['ISSUER']],
  })
  expect(await statusFor(id, clientSecret)).toBe(200)

  const listed = await runProcess('list', '--json')
  const shown = {
    client_id: id,
    name: 'shop',
    scopes: [],
    audiences: [settings['ISSUER']],
    created_at: expect.stringMatching(/Z$/),
  }
  expect(listed.json()).toEqual({ clients: [shown] })
  expect(listed.stdout).not.toContain(clientSecret)

  const disabled = await runProcess('disable', id, '--json')
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
    /^client_id {6}([\w-]{22})\nclient_secret {2}([\w-]{43})\nname {11}mail\nscope\naudiences {6}\S+\n.*not shown again.*\n$/.exec(
      stdout,
    ) ?? []
  expect(await statusFor(id, clientSecret)).toBe(200)
  expect((await run('list')).stdout).toMatch(new RegExp(`^${id}  active    \\S+Z  mail$`, 'm'))
})

const tokenFor = async (clientId: string, clientSecret: string) => {
  const form = { grant_type: 'client_credentials' }
  const authorization = basicHeader(clientId, clientSecret)
  return (await postForm(cardea.client, '/oauth/token', authorization, form)).body
}

test('scopes and audiences are given once and are what its tokens may say', async () => {
  const { issuer } = cardea.config
  const made = await run(
    ...['create', '--name', 'orders', '--scope', 'orders:read orders:write'],
    ...['--audience', issuer, '--json'],
  )
  const { client_id: id, client_secret: clientSecret, ...rest } = made.json()
  const scopes = ['orders:read', 'orders:write']
  expect(rest).toEqual({ name: 'orders', scopes, audiences: [issuer] })
  expect((await tokenFor(id, clientSecret)).scope).toBe('orders:read orders:write')
  for (const [option, value, code] of [
    ['--scope', 'admin', 'invalid_client_scope'],
    ['--audience', 'https://elsewhere.example.com', 'unknown_client_audience'],
  ] as const) {
    const refused = await run('create', '--name', 'refused', option, value, '--json')
    expect([refused.code, JSON.parse(refused.stderr).code]).toEqual([1, code])
  }
})

test('with an owner it ends when that account does; there must be such an account', async () => {
  const owner = await cardea.createAccount()
  const create = (name: string, email: string) =>
    run('create', '--name', name, '--owner', email, '--json')
  const made = (await create('export', owner.email)).json()
  expect(made.owner).toBe(owner.id)
  const { client_id: id, client_secret: clientSecret } = made
  expect(await tokenFor(id, clientSecret)).toHaveProperty('access_token')
  const revoked = await runCli(['revoke', '--email', owner.email], settings)
  expect(revoked.code, revoked.stderr).toBe(0)
  expect((await tokenFor(id, clientSecret)).error).toBe('invalid_client')
  const shown = { client_id: id, owner: owner.id, disabled_at: expect.any(String) }
  expect((await run('list', '--json')).json().clients).toContainEqual(
    expect.objectContaining(shown),
  )

  const nobodys = await create('refused', 'nobody@example.com')
  expect([nobodys.code, JSON.parse(nobodys.stderr).code]).toEqual([1, 'account_not_found'])
  await runCli(['account', 'disable', '--email', owner.email], settings)
  const late = await create('refused', owner.email)
  expect([late.code, JSON.parse(late.stderr).code]).toEqual([1, 'invalid_client_owner'])
})

test('R112: a secret is added, listed and revoked, and the running service gives tokens for those that are live', async () => {
  const made = (await run('create', '--name', 'rolling', '--json')).json()
  const { client_id: id, client_secret: first } = made
  await trail()
  const added = await runProcess('secret', 'add', id, '--json')
  expect([added.code, added.stderr]).toEqual([0, ''])
  const { client_secret: second, secret_id: secondId } = added.json()
  expect(added.json().client_id).toBe(id)
  const listed = (await runProcess('secret', 'list', id, '--json')).json().secrets
  const firstId: string = listed
    .map((one: { secret_id: string }) => one.secret_id)
    .find((one: string) => one !== secondId)
  expect(listed).toHaveLength(2)
  const revoked = await runProcess('secret', 'revoke', id, firstId, '--json')
  expect(revoked.json()).toMatchObject({ secret_id: firstId, revoked_at: expect.any(String) })
  const again = await run('secret', 'revoke', id, firstId, '--json')
  expect([again.code, again.stdout]).toEqual([0, revoked.stdout])
  expect((await tokenFor(id, first)).error).toBe('invalid_client')
  expect((await tokenFor(id, second)).token_type).toBe('Bearer')
  const last = await run('secret', 'revoke', id, secondId)
  expect(last.code).toBe(1)
  expect(last.stderr).toMatch(
    /^error: This is the last live secret.*\nhint: disable the client with `cardea client disable`/,
  )
  const lines = (await run('secret', 'list', id)).stdout
  expect(lines).toMatch(new RegExp(`^${firstId}  revoked  \\S+Z$`, 'm'))
  expect(lines).toMatch(new RegExp(`^${secondId}  live     \\S+Z$`, 'm'))
  for (const text of [lines, again.stdout]) expect(text).not.toContain(second)
  expect((await trail()).map(({ event, actor }) => [event, actor])).toEqual([
    ['service_client_secret_added', 'command-line'],
    ['service_client_secret_revoked', 'command-line'],
  ])
})

test('what a service has out is revoked by its id, as with an account', async () => {
  const { client_id: id, client_secret: clientSecret } = (
    await run('create', '--name', 'leaky', '--json')
  ).json()
  const { access_token: token } = await tokenFor(id, clientSecret)
  const asked = () => introspect(cardea.client, basicHeader(id, clientSecret), { token })
  expect((await asked()).body.active).toBe(true)
  const revoked = await runCliProcess(['revoke', '--sub', id, '--json'], settings)
  expect(revoked.json()).toMatchObject({ effective_by: expect.any(String) })
  await vi.waitFor(async () => expect((await asked()).body.active).toBe(false))
  expect((await tokenFor(id, clientSecret)).token_type).toBe('Bearer')
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
    ['client', 'create', '--name', 'a', '--scope', 'a  b'],
    ['client', 'create', '--name', 'a', '--scope', ''],
    ['client', 'secret'],
    ['client', 'secret', 'add'],
    ['client', 'secret', 'add', 'not-an-id'],
    ['client', 'secret', 'list', 'not-an-id'],
    ['client', 'secret', 'revoke', 'A'.repeat(22)],
    ['client', 'secret', 'revoke', 'A'.repeat(22), 'short'],
    ['client', 'secret', 'revoke', 'A'.repeat(22), 'A'.repeat(9)],
  ]) {
    const told: string[] = []
    expect(await runCommandLine(args, (text) => void told.push(text)), args.join(' ')).toBe(2)
    expect(told.join('')).toMatch(/^error: .+\nhint: .+\n$/)
  }
})
