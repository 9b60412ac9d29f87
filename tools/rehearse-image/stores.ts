import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { startEmbeddedPostgres } from '../../packages/embedded-stores/src/index.ts'
import { findRedis } from '../../test/support/find-redis.ts'
import { freePort } from '../../test/support/free-port.ts'

export type Store = { readonly port: number; readonly stop: () => Promise<void> }

/** Translates the two things of psql that deploy/postgres/roles.sql uses: ``\set name `cat file` `` and `:'name'`. */
export const withoutPsql = (text: string, secrets: Readonly<Record<string, string>>): string => {
  const values = new Map<string, string>()
  const reading = /^\\set (\w+) `cat \/run\/secrets\/(\w+)`$/gm
  const sql = text.replace(reading, (_, name: string, secret: string) => {
    const value = secrets[secret]
    if (value === undefined) throw new Error(`there is no secret ${secret}`)
    values.set(name, value)
    return ''
  })
  if (sql.includes('\\')) throw new Error('roles.sql uses more of psql than the rehearsal knows')
  return sql.replace(/:'(\w+)'/g, (_, name: string) => {
    const value = values.get(name)
    if (value === undefined) throw new Error(`roles.sql uses ${name} and never sets it`)
    return pg.escapeLiteral(value)
  })
}

/** Statements one by one, as psql sends them: CREATE DATABASE refuses to run together with others. */
const runAs = async (url: string, sql: string): Promise<void> => {
  const client = new pg.Client(url)
  await client.connect()
  try {
    for (const statement of sql.split(/;\s*$/m).filter((one) => one.trim() !== '')) {
      await client.query(statement)
    }
  } finally {
    await client.end()
  }
}

/** A Postgres as the `postgres` image makes one: a superuser, whatever roles.sql adds, and nothing else. */
export const startPostgres = async (
  project: string,
  folder: string,
  secrets: Readonly<Record<string, string>>,
): Promise<Store> => {
  const server = await startEmbeddedPostgres({ directory: join(folder, 'postgres') })
  try {
    const url = new URL(server.ownerUrl)
    url.pathname = '/postgres'
    await runAs(url.href, `CREATE ROLE postgres SUPERUSER LOGIN PASSWORD '${url.password}'`)
    url.username = 'postgres'
    // The embedded one comes with roles and a database of the names that roles.sql is about to make.
    const emptied = `DROP DATABASE cardea;\nDROP ROLE cardea_app;\nALTER ROLE cardea_owner RENAME TO nobody`
    await runAs(url.href, emptied)
    const roles = await readFile(join(project, 'deploy/postgres/roles.sql'), 'utf8')
    await runAs(url.href, withoutPsql(roles, secrets))
    return { port: Number(url.port), stop: server.stop }
  } catch (error) {
    await server.stop()
    throw error
  }
}

/** deploy/redis/start.sh, as the compose file runs it, with the Redis of this machine. */
export const startRedis = async (
  project: string,
  folder: string,
  passwordFile: string,
): Promise<Store> => {
  const binary = await findRedis()
  const programs = join(folder, 'redis-bin')
  await mkdir(programs)
  if (binary.path.includes('/')) await symlink(binary.path, join(programs, 'redis-server'))
  const port = await freePort()
  const script = join(project, 'deploy/redis/start.sh')
  const env = {
    ...binary.env,
    PATH: `${programs}:${binary.env['PATH'] ?? ''}`,
    REDIS_PASSWORD_FILE: passwordFile,
    REDIS_USERS_FILE: join(folder, 'users.acl'),
  }
  const args = [script, '--maxmemory', '256mb', '--port', String(port), '--bind', '127.0.0.1']
  const child = spawn('sh', args, { cwd: folder, env, stdio: ['ignore', 'pipe', 'inherit'] })
  await new Promise<void>((resolve, reject) => {
    let log = ''
    child.stdout.on('data', (chunk) => {
      log += String(chunk)
      if (log.includes('eady to accept connections')) resolve()
    })
    child.once('exit', () => reject(new Error(`start.sh ended:\n${log}`)))
  })
  return {
    port,
    stop: async () => {
      const ended = once(child, 'exit')
      child.kill('SIGTERM')
      await ended
    },
  }
}
