import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { appendFile, chmod, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseEnv, promisify } from 'node:util'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { codeBlock } from '../documentation/markdown.ts'
import { patientSettings } from '../support/child-service.ts'
import { freePort } from '../support/free-port.ts'
import { type PostgresServer, startPostgres } from '../support/postgres-server.ts'
import { type RedisServer, startRedis } from '../support/redis-server.ts'
import { type ScratchFolder, scratchFolder } from '../support/scratch-folder.ts'

const run = promisify(execFile)
const project = fileURLToPath(new URL('../../', import.meta.url))

const redisPassword = randomBytes(24).toString('hex')

let folder: ScratchFolder
let postgres: PostgresServer
let redis: RedisServer
let service: ChildProcess | undefined

/** Where the paths of the units and of the guide lie here: the sources take the place of the build. */
const here = (text: string): string =>
  text
    .replace(/\/opt\/cardea\/dist\/(\S+)\.js/g, `${project}$1.ts`)
    .replaceAll('/opt/cardea', project)
    .replaceAll('/etc/cardea', join(folder.path, 'etc'))
    .replaceAll('/usr/bin/node', process.execPath)
    .replaceAll('%d', join(folder.path, 'etc', 'owner'))

/** The second step of the guide as printed, then with the stores of this test. */
const makeSettings = async (): Promise<void> => {
  const etc = join(folder.path, 'etc')
  const block = codeBlock('docs/guides/run-with-systemd.md', 'umask 027')
  await run('bash', ['-e', '-c', here(block).replace('chgrp -R cardea . && ', '')])
  const redisUrl = `redis://cardea:${redisPassword}@127.0.0.1:${redis.port}`
  await writeFile(join(etc, 'secrets/database_url'), postgres.appUrl)
  await writeFile(join(etc, 'secrets/redis_url'), redisUrl)
  await writeFile(join(etc, 'owner/migrate_database_url'), postgres.ownerUrl)
  const more = { ...patientSettings, ALLOW_PLAINTEXT_STORES: 'true', PORT: await freePort() }
  const lines = Object.entries(more).map(([name, value]) => `${name}=${value}\n`)
  await appendFile(join(etc, 'cardea.env'), here(lines.join('')))
}

/** The command of a unit and its environment, without what systemd alone can do. */
const readUnit = async (name: string) => {
  const text = here(await readFile(join(project, 'deploy/systemd', name), 'utf8'))
  const valuesOf = (key: string) =>
    [...text.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map(([, value = '']) => value)
  const [program = '', ...args] = valuesOf('ExecStart').join(' ').split(' ')
  const own = valuesOf('Environment').join('\n').replaceAll(' ', '\n')
  const file = here(await readFile(valuesOf('EnvironmentFile').join(), 'utf8'))
  const env: Record<string, string | undefined> = { ...parseEnv(own), ...parseEnv(file) }
  return { program, args, options: { cwd: valuesOf('WorkingDirectory').join(), env } }
}

beforeAll(async () => {
  folder = await scratchFolder('systemd-units')
  // The doctor refuses the setting with which the tests save time.
  postgres = await startPostgres({ fsync: 'on' })
  const digest = createHash('sha256').update(redisPassword).digest('hex')
  const users = await readFile('deploy/redis/users.acl', 'utf8')
  const file = join(folder.path, 'users.acl')
  await writeFile(file, users.replace('PASSWORD_SHA256', digest))
  redis = await startRedis({ args: ['--aclfile', file] })
  await makeSettings()
})
afterAll(async () => {
  service?.kill('SIGKILL')
  await redis.stop()
  await postgres.stop()
  await folder.remove()
})

test('R129: what the units run migrates, serves and stops with the settings of the guide, and the command beside it finds nothing wrong', async () => {
  const migration = await readUnit('cardea-migrate.service')
  const { stdout } = await run(migration.program, migration.args, migration.options)
  expect(stdout).toContain('0001_accounts.sql')

  const { program, args, options } = await readUnit('cardea.service')
  const child = spawn(program, args, { ...options, stdio: 'ignore' })
  service = child
  const ended = once(child, 'exit')
  await vi.waitFor(async () => {
    expect(child.exitCode).toBeNull()
    const response = await fetch(`http://127.0.0.1:${options.env['PORT']}/health/ready`)
    expect(await response.json()).toMatchObject({ status: 'ready' })
  })
  const command = join(folder.path, 'cardea')
  await writeFile(command, here(await readFile(join(project, 'deploy/systemd/cardea'), 'utf8')))
  await chmod(command, 0o755)
  const doctor = await run(command, ['doctor', '--json'], { env: {} }).catch((error) => error)
  const { ok, checks } = JSON.parse(doctor.stdout)
  expect(checks.filter(({ state }: { state: string }) => state === 'fail')).toEqual([])
  expect(ok).toBe(true)
  child.kill('SIGTERM')
  expect(await ended).toEqual([0, null])
})
