import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { allSettings } from '../../src/config/given-settings.ts'
import { configErrorOf } from './environments.ts'

/** Every text in which an error can leave the process: a log line, a terminal, a crash report. */
const everythingShown = (error: Error): string =>
  [
    error.message,
    error.stack,
    String(error),
    JSON.stringify(error),
    JSON.stringify(error, Object.getOwnPropertyNames(error)),
    inspect(error, { depth: 10, showHidden: true }),
  ].join('\n')

const canary = 'xK7canary'

/** Each is refused by some check of its variable, early or late. */
const badTexts = {
  garbage: `${canary} \u0000`,
  'a URL with a password': `postgres://u:${canary}@[bad/db`,
  'a Redis URL with a password': `redis://u:${canary}%zz@h`,
  'a list': `,${canary},`,
  'a short secret': canary,
}

test.each(Object.entries(badTexts))(
  'R129: %s in every variable is refused without being shown',
  (_what, text) => {
    const environment = Object.fromEntries(allSettings.map(({ name }) => [name, text]))
    const error = configErrorOf(environment)
    expect(error.problems.length).toBeGreaterThan(20)
    expect(everythingShown(error)).not.toContain(canary)
  },
)

test('R129: well-written values that only production refuses are not shown either', () => {
  const error = configErrorOf({
    NODE_ENV: 'production',
    DATABASE_URL: `postgres://u:${canary}@h/db?sslmode=require`,
    MIGRATE_DATABASE_URL: `postgres://u:${canary}@h/db`,
    REDIS_URL: `redis://u:${canary}@h`,
    ISSUER: `http://${canary}.example`,
    CARDEA_SECRET: `changeme-${canary}-0123456789abcdefghij`,
    PASSWORD_PEPPER: `changeme-${canary}-0123456789abcdefghij`,
  })
  expect(new Set(error.problems.map(({ name }) => name)).size).toBe(6)
  expect(everythingShown(error)).not.toContain(canary)
})
