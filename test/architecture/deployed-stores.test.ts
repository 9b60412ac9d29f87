import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import pg from 'pg'
import { afterAll, expect, onTestFinished, test } from 'vitest'
import { scratchFolder } from '../support/programs/scratch-folder.ts'
import { findRedis } from '../support/servers/find-redis.ts'
import { freePort } from '../support/servers/free-port.ts'
import { startPostgres } from '../support/servers/postgres-server.ts'

const folder = await scratchFolder('deployed-stores')
afterAll(() => folder?.remove())

/** Translates the two things of psql that deploy/postgres/roles.sql uses: ``\set name `cat file` `` and `:'name'`. */
const withoutPsql = (text: string, secrets: Readonly<Record<string, string>>): string => {
  const values = new Map<string, string>()
  const reading = /^\\set (\w+) `cat \/run\/secrets\/(\w+)`$/gm
  const sql = text.replace(reading, (_, name: string, secret: string) => {
    const value = secrets[secret]
    if (value === undefined) throw new Error(`there is no secret ${secret}`)
    values.set(name, value)
    return ''
  })
  if (sql.includes('\\')) throw new Error('roles.sql uses more of psql than this test knows')
  return sql.replace(/:'(\w+)'/g, (_, name: string) => {
    const value = values.get(name)
    if (value === undefined) throw new Error(`roles.sql uses ${name} and never sets it`)
    return pg.escapeLiteral(value)
  })
}

const withClient = async <T>(url: string, act: (client: pg.Client) => Promise<T>): Promise<T> => {
  const client = new pg.Client(url)
  await client.connect()
  try {
    return await act(client)
  } finally {
    await client.end()
  }
}

/** Statements one by one, as psql sends them: CREATE DATABASE refuses to run together with others. */
const runAs = (url: string, sql: string): Promise<void> =>
  withClient(url, async (client) => {
    const statements = sql.split(/;\s*$/m).filter((one) => one.trim() !== '')
    for (const statement of statements) await client.query(statement)
  })

test('R129: the roles of deploy/postgres have no rights of their own, and their passwords come from outside', async () => {
  const text = await readFile('deploy/postgres/roles.sql', 'utf8')
  const given = { cardea_owner_password: "it's", cardea_app_password: 'b' }
  const sql = withoutPsql(text, given)
  expect(sql).toContain("NOREPLICATION PASSWORD 'it''s'")
  const roles = sql.match(/^CREATE ROLE .*$/gm)
  expect(roles).toHaveLength(2)
  for (const role of roles ?? []) {
    expect(role).toContain('LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD')
  }
  expect(() => withoutPsql(text, {})).toThrow('there is no secret cardea_owner_password')
})

test('R129: Postgres takes deploy/postgres/roles.sql, and the role of the service owns nothing and creates no table', async () => {
  const server = await startPostgres()
  onTestFinished(() => server.stop())
  // As the image of Postgres begins: a superuser, and neither roles nor a database of these names.
  const url = new URL(server.ownerUrl)
  url.pathname = '/postgres'
  await runAs(url.href, `CREATE ROLE postgres SUPERUSER LOGIN PASSWORD '${url.password}'`)
  url.username = 'postgres'
  const emptied = `DROP DATABASE cardea;\nDROP ROLE cardea_app;\nALTER ROLE cardea_owner RENAME TO nobody`
  await runAs(url.href, emptied)
  const text = await readFile('deploy/postgres/roles.sql', 'utf8')
  const secrets = { cardea_owner_password: 'of-the-owner', cardea_app_password: 'of-the-app' }
  await runAs(url.href, withoutPsql(text, secrets))
  const address = `127.0.0.1:${url.port}/cardea`
  await withClient(`postgres://cardea_app:of-the-app@${address}`, async (app) => {
    await expect(app.query('CREATE TABLE public.mine (id int)')).rejects.toThrow(
      'permission denied',
    )
    const owned = await app.query(
      'SELECT 1 FROM pg_class WHERE pg_get_userbyid(relowner) = current_user',
    )
    expect(owned.rowCount).toBe(0)
  })
  await runAs(`postgres://cardea_owner:of-the-owner@${address}`, 'CREATE TABLE mine (id int)')
})

const started = async (child: ChildProcess): Promise<void> =>
  await new Promise((resolve, reject) => {
    let log = ''
    child.stdout?.on('data', (chunk) => {
      log += String(chunk)
      if (log.includes('eady to accept connections')) resolve()
    })
    child.once('exit', () => reject(new Error(`start.sh ended:\n${log}`)))
  })

test('R129: deploy/redis/start.sh starts a Redis that evicts nothing, with one user who has a password and Cardea’s rights', async () => {
  const binary = await findRedis()
  const programs = join(folder.path, 'bin')
  await mkdir(programs)
  if (binary.path.includes('/')) await symlink(binary.path, join(programs, 'redis-server'))
  const password = randomBytes(24).toString('hex')
  const file = join(folder.path, 'redis_password')
  await writeFile(file, `${password}\n`)
  const port = await freePort()
  const env = {
    ...binary.env,
    PATH: `${programs}:${binary.env['PATH'] ?? ''}`,
    REDIS_PASSWORD_FILE: file,
    REDIS_USERS_FILE: join(folder.path, 'users.acl'),
  }
  const script = join(process.cwd(), 'deploy/redis/start.sh')
  const args = [script, '--maxmemory', '256mb', '--port', String(port), '--bind', '127.0.0.1']
  const child = spawn('sh', args, { cwd: folder.path, env, stdio: ['ignore', 'pipe', 'inherit'] })
  const redis = new Redis({ port, username: 'cardea', password, lazyConnect: true })
  const stranger = new Redis({ port, lazyConnect: true })
  stranger.on('error', () => undefined)
  onTestFinished(async () => {
    redis.disconnect()
    stranger.disconnect()
    const ended = once(child, 'exit')
    child.kill('SIGTERM')
    await ended
  })
  await started(child)
  expect(await redis.set('cardea:test', '1')).toBe('OK')
  expect(await redis.info('memory')).toContain('maxmemory_policy:noeviction')
  await expect(redis.set('other', '1')).rejects.toThrow('NOPERM')
  await expect(redis.flushall()).rejects.toThrow('NOPERM')
  await expect(stranger.get('cardea:test')).rejects.toThrow('NOAUTH')
})
