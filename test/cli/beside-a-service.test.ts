import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { startsFaster } from '../support/programs/compile-cache.ts'
import { type ScratchFolder, scratchFolder } from '../support/programs/scratch-folder.ts'
import { freePort } from '../support/servers/free-port.ts'
import { type Client, httpClient } from '../support/service/client.ts'
import { basicHeader, introspect } from '../support/service/service-client.ts'
import { whenRefused } from '../support/service/when-refused.ts'
import { type CliSettings, cliPath, runCli, runCliProcess, startCli } from './run-cli.ts'

const password = 'correct horse battery staple 7'
const firstEmail = 'first@example.com'

let folder: ScratchFolder
let settings: CliSettings
let service: ChildProcess
let client: Client
/** What `account create` answered while the service was still starting. */
let early: Awaited<ReturnType<typeof runCli>>

const isLive = (address: string) =>
  fetch(`${address}/health/ready`).then(
    (answer) => answer.ok,
    () => false,
  )

beforeAll(async () => {
  folder = await scratchFolder('cli')
  const port = await freePort()
  const dataDir = join(folder.path, 'data')
  settings = { DATA_DIR: dataDir, PORT: String(port), LOG_LEVEL: 'warn' }
  service = startCli(['serve'], settings)
  service.stdout?.resume()
  folder.watch(service.pid ?? '')
  // From here on the service holds the folder, and its Postgres is not there yet.
  await vi.waitUntil(() => existsSync(join(dataDir, 'postgres')))
  early = await runCliProcess(
    ['account', 'create', '--email', firstEmail],
    settings,
    `${password}\n`,
  )
  client = httpClient(`http://127.0.0.1:${port}`)
  await vi.waitUntil(() => isLive(client.address))
})

afterAll(async () => {
  const ended = once(service, 'exit')
  service.kill('SIGTERM')
  await ended
  await folder.remove()
})

const create = async (email: string, ...more: string[]) => {
  const args = ['account', 'create', '--json', '--email', email, ...more]
  return (await runCli(args, settings, `${password}\r\nnot the password\n`)).json()
}

test('a command waits for a service that is still starting, and works beside it', async () => {
  expect(early).toMatchObject({ code: 0, stderr: '' })
  expect(early.stdout).toMatch(/^id {5}[\w-]{22}\nemail {2}first@example\.com\n$/)
  const { accessToken } = await client.logIn({ email: firstEmail, password })
  expect((await client.get('/account', { token: accessToken })).status).toBe(200)
})

test('an account is made with its roles, and only the first line of stdin is its password', async () => {
  const account = await create('op@example.com', '--role', 'operator', '--role', 'auditor')
  expect(account).toMatchObject({
    id: expect.stringMatching(/^[\w-]{22}$/),
    email: 'op@example.com',
    status: 'active',
    roles: ['operator', 'auditor'],
  })
  const { accessToken } = await client.logIn({ email: 'op@example.com', password })
  const answer = await client.get('/admin/accounts?email=op@example.com', { token: accessToken })
  expect(answer.body.accounts).toEqual([account])
})

test('a service client that is made beside the service may call it at once', async () => {
  const created = (
    await runCli(['client', 'create', '--name', 'beside', '--json'], settings)
  ).json()
  const authorization = basicHeader(created.client_id, created.client_secret)
  const answer = await introspect(client, authorization, { token: 'x' })
  expect([answer.status, answer.text]).toEqual([200, '{"active":false}'])
})

test('a refused password or a taken address is told with its code, and the password is not', async () => {
  const args = ['account', 'create', '--email', firstEmail]
  const short = await runCli([...args, '--json'], settings, 'zX9short\n')
  expect([short.code, short.stdout]).toEqual([1, ''])
  expect(JSON.parse(short.stderr)).toMatchObject({ code: 'password_rejected' })
  expect(short.stderr).not.toContain('zX9')
  const taken = await runCli(args, settings, `${password}\n`)
  expect([taken.code, taken.stdout]).toEqual([1, ''])
  expect(taken.stderr).toMatch(/^error: An account .* exists already\.\nhint: .*account list.*\n$/)
})

test('accounts are listed, all or one by its address in any case', async () => {
  const account = await create('Listed@example.com')
  const all = (await runCli(['account', 'list', '--json'], settings)).json().accounts
  expect(all).toContainEqual(account)
  expect(all).toContainEqual(expect.objectContaining({ email: firstEmail }))
  const one = await runCliProcess(['account', 'list', '--email', 'listed@EXAMPLE.com'], settings)
  expect(one.stdout).toBe(`${account.id}  active    ${account.created_at}  Listed@example.com\n`)
})

test('R122: blanks around an address are no part of it, in any command', async () => {
  const account = await create(' padded@example.com ')
  expect(account.email).toBe('padded@example.com')
  const email = '\tpadded@example.com\n'
  const listed = await runCli(['account', 'list', '--json', '--email', email], settings)
  expect(listed.json().accounts).toEqual([account])
  const disabled = await runCli(['account', 'disable', '--json', '--email', email], settings)
  expect(disabled.json()).toMatchObject({ id: account.id, status: 'disabled' })
  expect((await runCli(['revoke', '--email', email, '--reason', 'lost'], settings)).code).toBe(0)
})

test('disabling an account ends its sessions at once, enabling lets it log in again', async () => {
  const { id } = await create('off@example.com')
  const { refreshToken, accessToken } = await client.logIn({ email: 'off@example.com', password })
  const disabled = await runCliProcess(['account', 'disable', '--sub', id, '--json'], settings)
  expect(disabled.json()).toMatchObject({ id, status: 'disabled' })
  expect((await client.refresh(refreshToken)).status).toBe(401)
  // Another process took it back: the service hears of it.
  await whenRefused(client, accessToken)
  const enabled = await runCliProcess(['account', 'enable', '--email', 'off@example.com'], settings)
  expect(enabled.stdout).toMatch(/^status {2}active$/m)
  await client.logIn({ email: 'off@example.com', password })
})

test('another password is set from stdin: the old one and every session are over', async () => {
  const { id } = await create('forgot@example.com')
  const who = { email: 'forgot@example.com', password }
  const { refreshToken, accessToken } = await client.logIn(who)
  const session = await client.logInForCookie(who)
  const args = ['account', 'password', '--email', 'Forgot@example.com']
  const other = 'another battery for the horse 8'
  const changed = await runCliProcess([...args, '--json'], settings, `${other}\n`)
  expect(changed.json()).toMatchObject({ id, email: who.email, status: 'active' })
  expect([changed.code, changed.stderr]).toEqual([0, ''])
  expect((await client.refresh(refreshToken)).body).toMatchObject({ reason: 'password_changed' })
  // Another process took it back: the service hears of it.
  await whenRefused(client, accessToken)
  expect((await client.get('/session', { session })).status).toBe(401)
  expect((await client.post('/login', { body: who })).status).toBe(401)
  await client.logIn({ ...who, password: other })
})

test('a password that is refused, of nobody, or an argument is not set, and not repeated', async () => {
  await create('keeps@example.com')
  const args = ['account', 'password', '--email', 'keeps@example.com']
  const short = await runCli([...args, '--json'], settings, 'zX9short\n')
  expect([short.code, JSON.parse(short.stderr).code]).toEqual([1, 'password_rejected'])
  const nobody = ['account', 'password', '--email', 'nobody@example.com', '--json']
  const unknown = await runCli(nobody, settings, `${password}\n`)
  expect([unknown.code, JSON.parse(unknown.stderr).code]).toEqual([1, 'account_not_found'])
  const argument = await runCli([...args, '--password', 'zX9 in the list of processes'], settings)
  expect([argument.code, argument.stdout]).toEqual([2, ''])
  expect(`${short.stderr}${argument.stderr}`).not.toContain('zX9')
  await client.logIn({ email: 'keeps@example.com', password })
})

test('roles are set to exactly those named, and an unknown account is refused', async () => {
  const { id } = await create('roles@example.com', '--role', 'old')
  const args = ['account', 'roles', '--sub', id, '--role', 'new', '--json']
  expect((await runCliProcess(args, settings)).json().roles).toEqual(['new'])
  const none = await runCli(['account', 'roles', '--email', 'nobody@example.com'], settings)
  expect([none.code, none.stdout]).toEqual([1, ''])
  expect(none.stderr).toMatch(/^error: There is no such account\.\nhint: /)
})

test('revoking by address ends the sessions of that account and says from when it holds', async () => {
  await create('gone@example.com')
  const { refreshToken } = await client.logIn({ email: 'gone@example.com', password })
  const args = ['revoke', '--email', 'gone@example.com', '--reason', 'lost laptop', '--json']
  const revoked = (await runCli(args, settings)).json()
  expect(revoked.seq).toBeGreaterThan(0)
  expect(Date.parse(revoked.effective_by) - Date.parse(revoked.committed_at)).toBe(5000)
  expect((await client.refresh(refreshToken)).body).toMatchObject({ reason: 'revoked' })
})

test('an account gets another address, logs in with it, and keeps its sessions', async () => {
  const { id } = await create('Before@example.com')
  const { refreshToken } = await client.logIn({ email: 'before@example.com', password })
  const args = ['account', 'email', '--email', 'before@EXAMPLE.com', '--to', 'After@example.com']
  const changed = await runCliProcess([...args, '--json'], settings)
  expect(changed.json()).toMatchObject({ id, email: 'After@example.com' })
  expect((await client.refresh(refreshToken)).status).toBe(200)
  await client.logIn({ email: 'after@example.com', password })
  const again = await runCli(args, settings)
  expect([again.code, again.stderr]).toEqual([1, expect.stringContaining('no such account')])
  const taken = ['account', 'email', '--sub', id, '--to', firstEmail, '--json']
  const refused = await runCli(taken, settings)
  expect([refused.code, JSON.parse(refused.stderr).code]).toEqual([1, 'account_exists'])
  const none = await runCli(['account', 'email', '--sub', id, '--to', 'none', '--json'], settings)
  expect([none.code, JSON.parse(none.stderr).code]).toEqual([1, 'invalid_email'])
})

test('an id that begins with a dash is taken as the id that it is', async () => {
  // Also one that reads like an option of `cardea` or of the command.
  for (const jti of ['-Vaaaaaaaaaaaaaaaaaaaa', '-haaaaaaaaaaaaaaaaaaaa']) {
    const id = `${jti.slice(0, 21)}A`
    const { code, stdout } = await runCli(['revoke', '--jti', id], settings)
    expect(code).toBe(0)
    expect(stdout).toMatch(
      /^seq {11}\d+\ncommitted_at {2}\S+Z\neffective_by {2}\S+Z\nchecked {7}no: .+\n$/,
    )
  }
})

test('a session that does not exist is no success; a token that nobody can look up is, and the result says so', async () => {
  const unknown = 'A'.repeat(22)
  const refused = await runCli(['revoke', '--sid', unknown, '--json'], settings)
  expect([refused.code, refused.stdout]).toEqual([1, ''])
  expect(JSON.parse(refused.stderr)).toMatchObject({ code: 'session_not_found' })
  const token = await runCli(['revoke', '--jti', unknown, '--json'], settings)
  expect([token.code, token.json().checked]).toEqual([0, false])
  await create('ended@example.com')
  const { body } = await client.logIn({ email: 'ended@example.com', password })
  const session = await runCli(['revoke', '--sid', body.session_id, '--json'], settings)
  expect([session.code, session.json().checked]).toEqual([0, true])
})

test('a second service on the same folder is refused, and told that commands are not', async () => {
  const { code, stderr } = await runCliProcess(['serve'], settings)
  expect(code).toBe(4)
  expect(stderr).toMatch(
    /^error: process \d+ already uses .*\nhint: .*commands can run beside.*\n$/,
  )
})

test('there is nothing to migrate beside a running service', async () => {
  expect(await runCliProcess(['migrate'], settings)).toMatchObject({
    code: 0,
    stdout: 'nothing to do\n',
  })
})

test('the doctor finds nothing wrong with it', async () => {
  const { code, json } = await runCliProcess(['doctor', '--json'], settings)
  expect(json().checks.filter((check: { state: string }) => check.state === 'fail')).toEqual([])
  expect(json().checks).toContainEqual(
    expect.objectContaining({
      name: 'signing-keys',
      state: 'ok',
      message: expect.stringContaining('ES256'),
    }),
  )
  expect(code).toBe(0)
})

/** A terminal: `script` (util-linux) gives the command one and passes on what is typed. */
const inTerminal = (args: readonly string[]) => {
  const command = [process.execPath, cliPath, ...args].map((word) => `'${word}'`).join(' ')
  const child = spawn(
    '/usr/bin/script',
    ['--quiet', '--return', '--command', command, '/dev/null'],
    {
      env: { ...startsFaster, PATH: '/usr/bin:/bin', TERM: 'dumb', ...settings },
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  )
  let seen = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    seen += chunk
  })
  return {
    type: async (after: string, text: string) => {
      await vi.waitUntil(() => seen.includes(after))
      child.stdin.write(text)
    },
    end: async () => {
      const [code] = await once(child, 'close')
      return { code, seen }
    },
  }
}

test('a password is typed twice in a terminal and never shown', async () => {
  const terminal = inTerminal(['account', 'create', '--email', 'typed@example.com'])
  await terminal.type('password: ', `${password}x\u007f\r`)
  await terminal.type('once more: ', `${password}\r`)
  const { code, seen } = await terminal.end()
  expect(code).toBe(0)
  expect(seen).toContain('typed@example.com')
  expect(seen).not.toMatch(/correct|horse|staple/)
  await client.logIn({ email: 'typed@example.com', password })
})

test('two passwords that differ make no account, nor does Ctrl-C', async () => {
  const args = ['account', 'create', '--email', 'never@example.com']
  const differing = inTerminal(args)
  await differing.type('password: ', `${password}\r`)
  await differing.type('once more: ', `${password}!\r`)
  const { code, seen } = await differing.end()
  expect(code).toBe(2)
  expect(seen).toContain('error: the two passwords differ')
  const interrupted = inTerminal(args)
  await interrupted.type('password: ', `${password}\u0003`)
  expect((await interrupted.end()).code).toBe(130)
  const listed = await runCli(['account', 'list', '--email', 'never@example.com'], settings)
  expect(listed).toMatchObject({ code: 0, stdout: '' })
})

test('everyone is revoked with --yes, or after a yes in a terminal, and not after anything else', async () => {
  const { refreshToken } = await client.logIn({ email: firstEmail, password })
  const asked = inTerminal(['revoke', '--everyone'])
  await asked.type('Type yes to continue: ', 'y\r')
  expect((await asked.end()).code).toBe(2)
  const { refreshCookie } = await client.refresh(refreshToken)
  const answered = inTerminal(['revoke', '--everyone'])
  await answered.type('Type yes to continue: ', 'yes\r')
  expect((await answered.end()).code).toBe(0)
  expect((await client.refresh(refreshCookie ?? '')).status).toBe(401)
  const { code, stderr } = await runCli(['revoke', '--everyone', '--yes', '--json'], settings)
  expect([code, stderr]).toEqual([0, ''])
})
