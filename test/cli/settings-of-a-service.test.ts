import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmod, readdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { lockDataDir } from '../../packages/embedded-stores/src/data-dir-lock.ts'
import { assertSameSettings } from '../../src/cli/with-core.ts'
import { givenSettings, loadConfig } from '../../src/config/index.ts'
import { findProgram } from '../support/programs/find-program.ts'
import { type ScratchFolder, scratchFolder } from '../support/programs/scratch-folder.ts'
import { freePort } from '../support/servers/free-port.ts'
import { type Client, httpClient } from '../support/service/client.ts'
import { whenRefused } from '../support/service/when-refused.ts'
import { runCli, runCliProcess, startCli } from './run-cli.ts'

const person = { email: 'ada@example.com', password: 'correct horse battery staple 7' }

let folder: ScratchFolder
let service: ChildProcess
let client: Client
/** All that a command is given: the folder that the service works in. */
let settings: { DATA_DIR: string }

beforeAll(async () => {
  folder = await scratchFolder('cli-settings')
  settings = { DATA_DIR: join(folder.path, 'data') }
  const port = await freePort()
  service = startCli(['serve'], {
    ...settings,
    PORT: String(port),
    AUDIENCE: 'orders,billing',
    LOG_LEVEL: 'warn',
  })
  service.stdout?.resume()
  folder.watch(service.pid ?? '')
  client = httpClient(`http://127.0.0.1:${port}`)
  const isReady = () =>
    fetch(`${client.address}/health/ready`).then(
      ({ ok }) => ok,
      () => false,
    )
  await vi.waitUntil(isReady)
  await runCli(['account', 'create', '--email', person.email], settings, person.password)
})

afterAll(async () => {
  const ended = once(service, 'exit')
  service.kill('SIGTERM')
  await ended
  await folder.remove()
})

describe('beside a running service', () => {
  test('a command takes the settings that the service was started with', async () => {
    const created = await runCliProcess(['client', 'create', '--name', 'one', '--json'], settings)
    expect([created.code, created.stderr]).toEqual([0, ''])
    expect(created.json().audiences).toEqual(['orders'])
    // The issuer follows from the port of the service.
    const sealing = await runCli(['sealed-key', '--audience', client.address, '--json'], settings)
    expect([sealing.code, sealing.stderr]).toEqual([0, ''])
    const elsewhere = await runCli(['sealed-key', '--audience', 'http://127.0.0.1:8088'], settings)
    expect(elsewhere.code).toBe(1)
  })

  test('what is set for the command itself counts, and it says what differs', async () => {
    const create = ['client', 'create', '--json', '--name']
    const same = await runCli([...create, 'same'], { ...settings, AUDIENCE: 'orders,billing' })
    expect([same.json().audiences, same.stderr]).toEqual([['orders'], ''])
    const other = await runCli([...create, 'other'], { ...settings, AUDIENCE: 'stock', PORT: '9' })
    expect(other.json().audiences).toEqual(['stock'])
    expect(other.stderr).toBe(
      `warning: PORT, AUDIENCE: set to another value for this command than for the running service (process ${service.pid})\n`,
    )
  })

  test('an address of a store that only one of both has is worth a warning', async () => {
    const { code, stderr } = await runCli(['account', 'list'], {
      ...settings,
      REDIS_URL: 'redis://:zX9@127.0.0.1:1',
    })
    expect(code).toBe(0)
    expect(stderr).toMatch(/^warning: REDIS_URL: set to another value for this command than/)
    expect(stderr).not.toContain('zX9')
  })

  test('R129: a secret that one of both has and the other has not is refused by its name', async () => {
    const secret = 'zX9-a-secret-of-the-command-alone-long-enough'
    const { code, stdout, stderr } = await runCli(['account', 'list'], {
      ...settings,
      CARDEA_SECRET: secret,
    })
    expect([code, stdout]).toEqual([3, ''])
    expect(stderr).toMatch(
      /^error: CARDEA_SECRET is set here, and the running service has none.*\nhint: /,
    )
    expect(stderr).not.toContain('zX9')
  })

  test('the doctor knows the settings of the service, too', async () => {
    const { code, json } = await runCli(['doctor', '--json', '--url'], settings)
    expect(json().checks.filter(({ state }: { state: string }) => state === 'fail')).toEqual([])
    expect(code).toBe(0)
  })
})

describe('beside a service that has secrets of its own', () => {
  test('R129: a command without them does nothing, and makes none', async () => {
    const own = join(folder.path, 'own')
    const given = givenSettings({ DATA_DIR: own, PASSWORD_PEPPER_FILE: '/run/secrets/pepper' })
    expect(given).toEqual({ settings: {}, secrets: ['PASSWORD_PEPPER'] })
    const lock = await lockDataDir(own, given)
    try {
      const { code, stderr } = await runCli(['account', 'list'], { DATA_DIR: own })
      expect(code).toBe(3)
      expect(stderr).toMatch(/^error: PASSWORD_PEPPER is set for the running service and not here/)
      expect(await readdir(own)).toEqual(['holder.json'])
    } finally {
      await lock.release()
    }
  })

  test('a service that starts after a command has read its settings, and before it acts, stops the command', async () => {
    const own = join(folder.path, 'late')
    vi.stubEnv('DATA_DIR', own)
    const config = loadConfig()
    await assertSameSettings(config)
    const lock = await lockDataDir(own, givenSettings({ PORT: '21000' }))
    try {
      await expect(assertSameSettings(config)).rejects.toMatchObject({
        failure: { code: 'settings_changed', hint: 'run the command again' },
      })
    } finally {
      await lock.release()
      vi.unstubAllEnvs()
    }
  })
})

describe('sessions', () => {
  const list = async (...more: string[]) =>
    await runCli(['session', 'list', '--email', person.email, ...more], settings)

  test('of an account are listed, and one of them is ended: its tokens too, and no other', async () => {
    const [one, other] = [await client.logIn(person), await client.logIn(person)]
    const { sid } = JSON.parse(atob(one.accessToken.split('.')[1] ?? ''))
    const { sessions } = (await list('--json')).json()
    expect(sessions).toContainEqual({
      id: sid,
      kind: 'token',
      delivery: 'cookie',
      device: 'node',
      address: '127.0.0.1',
      created_at: expect.any(String),
      last_used_at: expect.any(String),
      expires_at: expect.any(String),
    })
    const lines = await runCliProcess(['session', 'list', '--email', person.email], settings)
    expect(lines.stdout).toMatch(new RegExp(`^${sid}  token   \\S+Z  127\\.0\\.0\\.1  node$`, 'm'))
    const args = ['session', 'end', sid, '--reason', 'lost laptop', '--json']
    const ended = (await runCliProcess(args, settings)).json()
    expect(ended.id).toBe(sid)
    expect(Date.parse(ended.effective_by) - Date.parse(ended.committed_at)).toBe(5000)
    expect((await client.refresh(one.refreshToken)).body).toMatchObject({ reason: 'revoked' })
    await whenRefused(client, one.accessToken)
    expect((await client.refresh(other.refreshToken)).status).toBe(200)
    expect((await list('--json')).stdout).not.toContain(sid)
  })

  test.each([
    ['a session that never was', ['session', 'end', 'aaaaaaaaaaaaaaaaaaaaaA'], 1],
    ['an id that begins with a dash', ['session', 'end', '-haaaaaaaaaaaaaaaaaaaA'], 1],
    ['what is no id', ['session', 'end', 'abc'], 2],
    ['nobody', ['session', 'list'], 2],
    ['an address of nobody', ['session', 'list', '--email', 'nobody@example.com'], 1],
    ['an account that never was', ['session', 'list', '--sub', 'aaaaaaaaaaaaaaaaaaaaaA'], 1],
  ])('of %s is an error with a hint', async (_what, args, exitCode) => {
    const { code, stdout, stderr } = await runCli(args, settings)
    expect([code, stdout]).toEqual([exitCode, ''])
    expect(stderr).toMatch(/^error: .+\nhint: .+\n$/)
  })
})

describe('the audit trail', () => {
  const list = async (...more: string[]) =>
    (await runCli(['audit', 'list', '--json', ...more], settings)).json()

  test('is read newest first, page by page, and whoever reads it is in it', async () => {
    const first = await list('--limit', '2')
    const second = await list('--limit', '2', '--before', String(first.next))
    // The newest entry of the second reading is that of the first one.
    const again = await list('--limit', '3')
    expect(again.entries[1]).toMatchObject({
      event: 'operator_read',
      outcome: 'success',
      actor: 'command-line',
      details: { what: 'audit' },
    })
    const ids = [...first.entries, ...second.entries].map(({ id }: { id: number }) => id)
    expect(ids).toEqual(ids.toSorted((one, other) => other - one))
    expect(new Set(ids).size).toBe(4)
    expect((await list('--before', '1')).entries).toEqual([])
  })

  test('of one account tells its logins and what was done to it, from where and why', async () => {
    await client.logIn(person)
    const { entries } = await list('--email', person.email, '--limit', '1000')
    expect(entries).toContainEqual(
      expect.objectContaining({ event: 'login_succeeded', address: '127.0.0.1' }),
    )
    expect(entries).toContainEqual(
      expect.objectContaining({
        event: 'session_ended',
        reason: 'revoked',
        actor: 'command-line',
        details: { note: 'lost laptop' },
      }),
    )
    const accounts = entries.map(({ account_id: account }: { account_id: string }) => account)
    expect(new Set(accounts).size).toBe(1)
    const lines = await runCliProcess(
      ['audit', 'list', '--sub', accounts[0], '--limit', '2'],
      settings,
    )
    expect(lines.stdout).toMatch(
      /^(\d+ {2}\S+Z {2}\w+( \(\w+\))? {2}(success|failure) {2}by .+\n){2}older ones: --before \d+\n$/,
    )
  })

  test.each([
    ['--limit', '0'],
    ['--limit', '1001'],
    ['--limit', '1e3'],
    ['--before', '-1'],
    ['--before', 'x'],
    ['--sub', 'abc'],
  ])('refuses %s %s', async (option, value) => {
    const { code, stdout, stderr } = await runCli(['audit', 'list', option, value], settings)
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toMatch(/^error: .+\nhint: .+\n$/)
  })
})

describe('psql', () => {
  const versions = [18, 17, 16, 15, 14]
  const find = () =>
    findProgram({
      name: 'psql',
      need: 'a real psql',
      commands: ['psql'],
      unpacked: versions.map((version) => `usr/lib/postgresql/${version}/bin/psql`),
      packages: ['postgresql-client'],
      withDependencies: true,
      probe: ['--version'],
    })

  test('is opened on the embedded Postgres, as the service or as the owner of the tables', async () => {
    const { path, env } = await find()
    const surroundings = path === 'psql' ? {} : { ...env, PATH: `${dirname(path)}:/usr/bin:/bin` }
    const ask = async (...options: string[]) =>
      await runCliProcess(
        ['psql', ...options, '--', '-XAtc', 'SELECT current_user, count(*) FROM accounts'],
        { ...settings, ...surroundings, PGHOSTADDR: '127.0.0.9' },
      )
    expect(await ask()).toMatchObject({ code: 0, stderr: '', stdout: 'cardea_app|2\n' })
    expect(await ask('--owner')).toMatchObject({ code: 0, stdout: 'cardea_owner|2\n' })
  })

  test('R113: gets the password and none of our secrets, neither of them on its command line, and its exit code is that of the command', async () => {
    const bin = join(folder.path, 'bin')
    const lock = await scratchFolder('fake-psql')
    try {
      const program = join(lock.path, 'psql')
      await writeFile(program, '#!/bin/sh\necho "args $*"\nenv\nexit 7\n')
      await chmod(program, 0o755)
      const { code, stdout } = await runCliProcess(['psql', '--', '-c', 'SELECT 1'], {
        ...settings,
        PATH: `${lock.path}:${bin}:/usr/bin:/bin`,
        TERM: 'dumb',
        REDIS_URL: 'redis://:zX9@127.0.0.1:1',
      })
      expect(code).toBe(7)
      const password = /^PGPASSWORD=(\S+)$/m.exec(stdout)?.[1] ?? ''
      expect(password).toMatch(/^[\w-]{32}$/)
      expect(stdout).toMatch(/^args -c SELECT 1$/m)
      expect(stdout.split(password)).toHaveLength(2)
      expect(stdout).toMatch(/^TERM=dumb$/m)
      expect(stdout).not.toMatch(/zX9|^(REDIS_URL|DATA_DIR)=/m)
    } finally {
      await lock.remove()
    }
  })

  test('that is not there, or not needed, is an error with a hint', async () => {
    const absent = await runCli(['psql'], { ...settings, PATH: folder.path })
    expect([absent.code, absent.stdout]).toEqual([127, ''])
    expect(absent.stderr).toMatch(/^error: there is no psql .+\nhint: install .+\n$/)
    const own = { ...settings, DATABASE_URL: 'postgres://u:zX9@127.0.0.1:1/db' }
    const external = await runCli(['psql'], own)
    expect([external.code, external.stdout]).toEqual([2, ''])
    expect(external.stderr).toMatch(/^error: .+embedded.+\nhint: run `psql "\$DATABASE_URL"`\n$/)
  })
})
