import { randomBytes } from 'node:crypto'
import { ConfigError, type Environment, loadConfig } from '../../src/config/index.ts'

export const randomSecret = (): string => randomBytes(32).toString('base64')

/** The least that production accepts. */
export const production = () => ({
  NODE_ENV: 'production',
  DATABASE_URL: 'postgres://cardea:pw@db.internal/cardea?sslmode=verify-full',
  REDIS_URL: 'rediss://cardea:pw@redis.internal:6380',
  ISSUER: 'https://login.example.org',
  CARDEA_SECRET: randomSecret(),
})

export const configErrorOf = (environment: Environment): ConfigError => {
  try {
    loadConfig(environment)
  } catch (error) {
    if (error instanceof ConfigError) return error
    throw error
  }
  throw new Error('the environment was accepted')
}

/** The problems as "NAME message". */
export const problemsOf = (environment: Environment): string[] =>
  configErrorOf(environment).problems.map(({ name, message }) => `${name} ${message}`)
