import { readdirSync, statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { allSettings } from '../../src/config/given-settings.ts'
import { readDockerfile, readDockerignore } from '../../tools/rehearse-image/dockerfile.ts'
import { composeSettings } from './compose-settings.ts'
import { deployedFiles, knownVariables, loadDeployed } from './deployed-settings.ts'

type Service = {
  readonly environment: Readonly<Record<string, string>>
  readonly secrets: readonly string[]
}

const project = fileURLToPath(new URL('../../', import.meta.url))
const read = async (name: string): Promise<string> => await readFile(join(project, name), 'utf8')
const image = async () => {
  const stages = readDockerfile(await read('Dockerfile'))
  return { stages, last: stages.at(-1)! }
}

describe('the Dockerfile', () => {
  test('holds only instructions that the rehearsal can follow', async () => {
    const { stages } = await image()
    expect(stages.map(({ name }) => name)).toEqual(['build', 'dependencies', undefined])
    expect(stages.flatMap(({ steps }) => steps).length).toBeGreaterThan(15)
  })

  test.each([
    'FROM x\nADD a b',
    'FROM x\nRUN --mount=type=cache,target=/root npm ci',
    'FROM x\nCOPY --chown=node a b',
    'FROM x\nCOPY *.json ./',
    'FROM x\nCOPY --link a b',
    'FROM x\nCMD node dist/src/main.js',
    'FROM x\nCMD [node]',
    'FROM x\nHEALTHCHECK NONE',
    'FROM x\nENV A=$B',
    'FROM x AS y z',
    'RUN true',
    'FROM x\nconstructor y',
  ])('would be refused with %j, which the rehearsal does not know', (text) => {
    expect(() => readDockerfile(text)).toThrow('does not know how to follow')
  })

  test('is made for the Node that package.json asks for', async () => {
    const manifest = JSON.parse(await read('package.json'))
    const [, major] = /^>=(\d+)$/.exec(manifest.engines.node) ?? []
    const { stages } = await image()
    expect(stages.map(({ base }) => base)).toEqual(Array(3).fill(`node:${major}-slim`))
  })

  test('R129: runs the service as a user without rights, with production settings and without development dependencies', async () => {
    const { stages, last } = await image()
    expect(last.steps).toContainEqual({ word: 'USER', args: ['node'] })
    expect(last.steps).toContainEqual({ word: 'ENV', args: ['NODE_ENV', 'production'] })
    const flags = ['--max-semi-space-size=6', '--max-old-space-size=256', '--max-lazy']
    const command = ['node', ...flags, 'dist/src/main.js']
    const commands = last.steps.filter(({ word }) => word === 'CMD')
    expect(commands.map(({ args }) => JSON.parse(args[0] ?? ''))).toEqual([command])
    const modules = last.steps.filter(
      ({ word, args }) => word === 'COPY' && args[2]?.includes('node_modules'),
    )
    expect(modules.map(({ args }) => args[0])).toEqual(['dependencies'])
    const installs = stages[1]?.steps.filter(({ word }) => word === 'RUN')
    expect(installs).toEqual([{ word: 'RUN', args: ['npm ci --omit=dev --ignore-scripts'] }])
    // Nothing that runs as root comes after the change of user.
    const after = last.steps.slice(last.steps.findIndex(({ word }) => word === 'USER') + 1)
    const harmless = ['EXPOSE', 'STOPSIGNAL', 'HEALTHCHECK', 'CMD']
    expect(after.map(({ word }) => word)).toEqual(harmless)
  })
})

test('R129: a build is sent the sources and nothing else: no settings, data, history or tests', async () => {
  const paths = readDockerignore(await read('.dockerignore'))
  const context = paths.flatMap((path) =>
    statSync(path).isDirectory()
      ? readdirSync(path, { recursive: true, encoding: 'utf8' }).map((name) => join(path, name))
      : path,
  )
  const places = new Set(context.map((file) => file.split('/')[0]))
  expect([...places].sort()).toEqual(
    [
      ...'.npmrc LICENSE migrations package-lock.json package.json packages src tools'.split(' '),
      ...'tsconfig.build.json tsconfig.json'.split(' '),
    ].sort(),
  )
  expect(context.filter((file) => file.startsWith('tools/'))).toEqual([
    'tools/runtime/package.json',
  ])
  expect(context.length).toBeGreaterThan(100)
  for (const text of ['!src', '*\nsrc', '*\n!src/*.ts', '*\n!src\n!!x']) {
    expect(() => readDockerignore(text)).toThrow('does not know how to follow')
  }
})

describe('docker-compose.yml', () => {
  const compose = async () => parse(await read('docker-compose.yml'), { merge: true })

  test('R129: holds no secret: each is a file that the guide makes and explains, and goes only to the services that need it', async () => {
    const { services, secrets } = await compose()
    const guide = await read('docs/guides/run-in-a-container.md')
    const files = Object.entries<{ file: string }>(secrets).map(([name, { file }]) => {
      expect(file).toBe(`secrets/${name}`)
      expect(guide).toContain(`\`${name}\``)
      return name
    })
    expect((await deployedFiles('docs/guides/run-in-a-container.md')).toSorted()).toEqual(
      files.toSorted(),
    )
    const ofService = ['cardea_secret', 'password_pepper', 'database_url', 'redis_url']
    expect(services.cardea.secrets).toEqual(ofService)
    expect(services.migrate.secrets).toEqual([...ofService, 'migrate_database_url'])
    expect(services.postgres.secrets).toEqual([
      'postgres_password',
      'cardea_owner_password',
      'cardea_app_password',
    ])
    expect(services.redis.secrets).toEqual(['redis_password'])
    for (const { environment, secrets: mounted } of Object.values<Service>(services)) {
      const named = Object.values(environment).filter((value) => value.startsWith('/run/secrets/'))
      for (const path of named) expect(mounted).toContain(path.slice('/run/secrets/'.length))
    }
    expect(await read('.gitignore')).toMatch(/^secrets\/$/m)
  })

  test('is YAML, merges and all: the service waits for the migration, and every service but that one has a health check', async () => {
    const { services, volumes } = await compose()
    expect(Object.keys(services).sort()).toEqual(['cardea', 'migrate', 'postgres', 'redis'])
    expect(services.cardea.depends_on).toEqual({
      migrate: { condition: 'service_completed_successfully' },
      redis: { condition: 'service_healthy' },
    })
    expect(services.migrate.command).toEqual(['cardea', 'migrate'])
    expect(services.postgres.healthcheck.test[0]).toBe('CMD')
    expect(services.redis.healthcheck.test[0]).toBe('CMD-SHELL')
    expect(await read('Dockerfile')).toContain('HEALTHCHECK')
    expect(Object.keys(volumes)).toEqual(['postgres'])
  })

  test('passes every setting of .env on to the service and the migration, but for those that it fixes itself', async () => {
    const { services } = await compose()
    const settings = Object.fromEntries(allSettings.map(({ name }) => [name, `own ${name}`]))
    const given = composeSettings(await read('docker-compose.yml'), settings)
    const fixed = allSettings
      .map(({ name }) => name)
      .filter((name) => given[name] !== settings[name])
    expect(fixed.toSorted()).toEqual(['ALLOW_PLAINTEXT_STORES', 'HOST', 'NODE_ENV', 'PORT'])
    for (const service of [services.cardea, services.migrate]) {
      expect(service.env_file).toEqual(['.env'])
      for (const name of Object.keys(service.environment)) expect(knownVariables).toContain(name)
    }
  })

  test('gives settings with which the service starts in production', async () => {
    const variables = { ISSUER: 'https://auth.example.com', SESSION_IDLE_DAYS: '7' }
    const settings = composeSettings(await read('docker-compose.yml'), variables)
    const config = await loadDeployed('docs/guides/run-in-a-container.md', settings)
    expect(config.trustedProxies).toEqual(['172.30.88.1/32'])
    expect(config.databaseUrl).toContain('cardea_app:')
    expect(config.migrateDatabaseUrl).toBeUndefined()
    expect(config.sessionIdleSeconds).toBe(7 * 86_400)
  })

  test('R129: lets only the migration know the role that owns the tables', async () => {
    const text = await read('docker-compose.yml')
    expect(text.match(/MIGRATE_DATABASE_URL/g)).toHaveLength(1)
    expect(() => composeSettings(text, {})).toThrow('ISSUER is not set')
  })
})
