import { execFileSync } from 'node:child_process'
import { chmod, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { allSettings } from '../../src/config/given-settings.ts'
import { loadConfig, usesEmbeddedPostgres } from '../../src/config/index.ts'
import { configErrorOf, problemsOf, production, randomSecret } from './environments.ts'

const folder = await mkdtemp(join(tmpdir(), 'cardea-test-secret-files-'))
afterAll(() => rm(folder, { recursive: true }))

const fileWith = async (name: string, content: string | Buffer, mode = 0o600): Promise<string> => {
  const path = join(folder, name)
  await writeFile(path, content)
  await chmod(path, mode)
  return path
}

/** What each secret setting may be, so that it is taken whatever the others are. */
const values: Readonly<Record<string, () => string>> = {
  DATABASE_URL: () => 'postgres://u:p@h/db',
  MIGRATE_DATABASE_URL: () => 'postgres://o:p@h/db',
  REDIS_URL: () => 'redis+sentinel://u:p@h/main',
  REDIS_SENTINEL_PASSWORD: () => 'of the sentinels',
  CARDEA_SECRET: randomSecret,
  PASSWORD_PEPPER: randomSecret,
}

const secretNames = allSettings.filter(({ isSecret }) => isSecret).map(({ name }) => name)

test('R129: every setting that holds a secret, or an address with one, can come from a file', () => {
  const byName = allSettings
    .map(({ name }) => name)
    .filter((name) => /(SECRET|PEPPER|PASSWORD|TOKEN|_KEY|_URL)$/.test(name))
  expect(secretNames.toSorted()).toEqual(byName.toSorted())
  expect(secretNames.toSorted()).toEqual(Object.keys(values).toSorted())
})

describe.each(secretNames)('%s_FILE', (name) => {
  const others = name === 'REDIS_SENTINEL_PASSWORD' ? { REDIS_URL: 'redis+sentinel://h/main' } : {}

  test('R129: gives what the variable would, without the one line end of the file', async () => {
    const value = values[name]?.() ?? ''
    const expected = loadConfig({ ...others, [name]: value })
    for (const end of ['', '\n', '\r\n']) {
      const path = await fileWith(`${name}-end`, `${value}${end}`)
      expect(loadConfig({ ...others, [`${name}_FILE`]: path })).toEqual(expected)
    }
  })

  test('beside the variable itself is refused, and both are named', async () => {
    const value = values[name]?.() ?? ''
    const path = await fileWith(`${name}-both`, value)
    const both = { ...others, [name]: value, [`${name}_FILE`]: path }
    expect(problemsOf(both)).toEqual([`${name}_FILE and ${name} are both set: remove one of them`])
    expect(loadConfig({ ...both, [`${name}_FILE`]: '' })).toEqual(
      loadConfig({ ...others, [name]: value }),
    )
  })
})

describe('a file of a secret', () => {
  const problemWith = (path: string) => problemsOf({ CARDEA_SECRET_FILE: path })

  test.each([
    ['is not there', 'missing', 'names a file that does not exist'],
    ['is below a file', 'file/below', 'names a file that does not exist'],
    ['is a folder', '.', 'names something that is not a file'],
    ['is a device', '/dev/zero', 'names something that is not a file'],
  ])('that %s stops the start, and the variable is named', async (_what, path, problem) => {
    await fileWith('file', 'x')
    const full = path.startsWith('/') ? path : join(folder, path)
    expect(problemWith(full)).toEqual([`CARDEA_SECRET_FILE ${problem}`])
  })

  test('that is a pipe without a writer keeps nobody waiting', async () => {
    const path = join(folder, 'pipe')
    execFileSync('mkfifo', [path])
    expect(problemWith(path)).toEqual(['CARDEA_SECRET_FILE names something that is not a file'])
  })

  test('that is empty, too long or no text is refused: it would count as no secret at all', async () => {
    for (const empty of ['', '\n', '\r\n']) {
      expect(problemWith(await fileWith('empty', empty))).toEqual([
        'CARDEA_SECRET_FILE names a file that is empty',
      ])
    }
    expect(problemWith(await fileWith('long', 'x'.repeat(70_000)))).toEqual([
      'CARDEA_SECRET_FILE names a file of more than 64 KiB',
    ])
    expect(problemWith(await fileWith('bytes', Buffer.of(0xff, 0xfe)))).toEqual([
      'CARDEA_SECRET_FILE names a file that is not UTF-8 text',
    ])
  })

  test('R129: that every user may write is refused; Kubernetes and Docker mount what all may read', async () => {
    const secret = randomSecret()
    expect(problemWith(await fileWith('open', secret, 0o666))).toEqual([
      'CARDEA_SECRET_FILE names a file that every user may write: run `chmod o-w` on it',
    ])
    for (const mode of [0o400, 0o444, 0o640, 0o664]) {
      const path = await fileWith(`mode-${mode}`, secret, mode)
      expect(loadConfig({ CARDEA_SECRET_FILE: path }).secrets).toEqual([secret])
    }
    const link = join(folder, 'link')
    await symlink(await fileWith('target', secret), link)
    expect(loadConfig({ CARDEA_SECRET_FILE: link }).secrets).toEqual([secret])
  })

  test('only one line end is taken away: what else is not of the form is told', async () => {
    const path = await fileWith('two-lines', 'postgres://u:p@h/db\n\n')
    expect(problemsOf({ DATABASE_URL_FILE: path })).toEqual([
      'DATABASE_URL (read from DATABASE_URL_FILE) must be a postgres:// or postgresql:// URL',
    ])
  })

  test('R129: neither its path nor its text is in the error', async () => {
    const canary = 'zX9canary'
    const path = await fileWith(canary, `${canary} short`)
    for (const environment of [
      { CARDEA_SECRET_FILE: path },
      { CARDEA_SECRET_FILE: `${path}-missing` },
      { DATABASE_URL_FILE: path },
      // The secret itself, where the path belongs.
      Object.fromEntries(secretNames.map((name) => [`${name}_FILE`, `postgres://u:${canary}@h`])),
    ]) {
      const error = configErrorOf(environment)
      expect(`${error.message}${error.stack}${JSON.stringify(error)}`).not.toContain(canary)
    }
  })
})

test('R129: production takes all of its secrets from files, and its rules hold for them', async () => {
  const environment = production()
  const { DATABASE_URL, REDIS_URL, CARDEA_SECRET, ...rest } = environment
  const files = {
    DATABASE_URL_FILE: await fileWith('database', `${DATABASE_URL}\n`),
    REDIS_URL_FILE: await fileWith('redis', `${REDIS_URL}\n`),
    CARDEA_SECRET_FILE: await fileWith('secret', `${CARDEA_SECRET}\n`),
  }
  expect(loadConfig({ ...rest, ...files })).toEqual(loadConfig(environment))
  expect(problemsOf({ ...rest, ...files, REDIS_URL_FILE: '' })).toEqual([
    'REDIS_URL is missing: production demands it',
  ])
  const wellKnown = await fileWith('well-known', 'changeme-changeme-changeme-changeme!')
  expect(problemsOf({ ...rest, ...files, CARDEA_SECRET_FILE: wellKnown })).toEqual([
    expect.stringContaining('CARDEA_SECRET holds a well-known'),
  ])
})

test('a database that a file names is not the embedded one', async () => {
  expect(usesEmbeddedPostgres({ DATABASE_URL_FILE: '/run/secrets/database' })).toBe(false)
  expect(usesEmbeddedPostgres({ DATABASE_URL_FILE: '', DATABASE_URL: '' })).toBe(true)
})
