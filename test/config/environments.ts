import { randomBytes } from 'node:crypto'
import {
  ConfigError,
  type Environment,
  type LoadOptions,
  loadConfig,
} from '../../src/config/index.ts'

export const randomSecret = (): string => randomBytes(32).toString('base64')

/** The least that production accepts. */
export const production = () => ({
  NODE_ENV: 'production',
  DATABASE_URL: 'postgres://cardea:pw@db.internal/cardea?sslmode=verify-full',
  REDIS_URL: 'rediss://cardea:pw@redis.internal:6380',
  ISSUER: 'https://login.example.org',
  CARDEA_SECRET: randomSecret(),
  TRUSTED_PROXIES: '10.0.0.1/32',
})

export const configErrorOf = (environment: Environment, options?: LoadOptions): ConfigError => {
  try {
    loadConfig(environment, options)
  } catch (error) {
    if (error instanceof ConfigError) return error
    throw error
  }
  throw new Error('the environment was accepted')
}

/** The problems as "NAME message". */
export const problemsOf = (environment: Environment, options?: LoadOptions): string[] =>
  configErrorOf(environment, options).problems.map(({ name, message }) => `${name} ${message}`)
