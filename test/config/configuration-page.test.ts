import { readFileSync } from 'node:fs'
import { parseEnv } from 'node:util'
import { describe, expect, test } from 'vitest'
import { allSettings } from '../../src/config/given-settings.ts'
import { loadConfig } from '../../src/config/index.ts'
import { defaultTextOf } from '../../src/config/setting.ts'
import { problemsOf } from './environments.ts'

const page = readFileSync('docs/reference/configuration.md', 'utf8')
const names = allSettings.map((setting) => setting.name)

/** Those that name a file with a secret. */
const files = allSettings.filter(({ isSecret }) => isSecret).map(({ name }) => `${name}_FILE`)

/** Variables of Node that the page explains; they are no settings of ours. */
const variablesOfNode = ['NODE_EXTRA_CA_CERTS', 'NODE_OPTIONS', 'NODE_TLS_REJECT_UNAUTHORIZED']

describe('the configuration page', () => {
  const rows = page
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => line.slice(2, -2).split(' | '))

  test('has a row for every setting, in the order of the table', () => {
    expect(rows.map(([name]) => name)).toEqual(names.map((name) => `\`${name}\``))
  })

  test.each(allSettings.map((setting) => [setting.name, setting] as const))(
    'says of %s what the table says: meaning, limits, default and the reason for it',
    (name, setting) => {
      const demanded = setting.isDemandedInProduction ? '; production demands it' : ''
      expect(rows.find(([cell]) => cell === `\`${name}\``)).toEqual([
        `\`${name}\``,
        setting.meaning,
        setting.format.limits,
        `${defaultTextOf(setting)}${demanded}`,
        setting.whyThisDefault,
      ])
    },
  )

  test('names the variable for a file of every secret', () => {
    expect(files.filter((name) => !page.includes(`\`${name}\``))).toEqual([])
  })

  test('names no variable that does not exist', () => {
    const quoted = page.match(/(?<=`)[A-Z][A-Z0-9_]+(?=[`=])/g) ?? []
    const withUnderscore = page.match(/\b[A-Z][A-Z0-9]*(_[A-Z0-9]+)+\b/g) ?? []
    const known = new Set([...names, ...files, ...variablesOfNode])
    expect(quoted.length).toBeGreaterThanOrEqual(names.length)
    expect([...quoted, ...withUnderscore].filter((name) => !known.has(name))).toEqual([])
  })
})

describe('.env.example', () => {
  const example = readFileSync('.env.example', 'utf8')
  // A line such as "#PORT=8088" is a setting switched off; "# words" is a comment.
  const switchedOn = parseEnv(example.replace(/^#(?=[A-Z_]+=)/gm, ''))

  test('lists every setting in the order of the page, and switches none on', () => {
    const listed = [...example.matchAll(/^#([A-Z_]+)=/gm)].map(([, name]) => name)
    expect(listed).toEqual(names)
    expect(parseEnv(example)).toEqual({})
  })

  test('shows the defaults: switched on, it changes nothing but what has no fixed default', () => {
    const { DATABASE_URL, MIGRATE_DATABASE_URL, REDIS_URL, CARDEA_SECRET, ...rest } = switchedOn
    const { PASSWORD_PEPPER, HASH_CONCURRENCY, ...fixed } = rest
    const placeholders = { DATABASE_URL, MIGRATE_DATABASE_URL, REDIS_URL, CARDEA_SECRET }
    expect(loadConfig(fixed)).toEqual(loadConfig({}))
    expect(loadConfig({ ...placeholders, PASSWORD_PEPPER, HASH_CONCURRENCY }).secrets).toEqual([
      CARDEA_SECRET,
    ])
  })

  test('R129: production refuses every placeholder in it', () => {
    const problems = problemsOf({ ...switchedOn, NODE_ENV: 'production' })
    expect(problems.map((problem) => problem.split(' ')[0]).toSorted()).toEqual([
      ...'CARDEA_SECRET DATABASE_URL ISSUER MIGRATE_DATABASE_URL PASSWORD_PEPPER'.split(' '),
      ...'REDIS_URL'.split(' '),
    ])
  })
})
