import { composeCore } from '../../compose/core.ts'
import { type Config, configWarnings, loadConfig } from '../../config/index.ts'
import { explainFailure } from '../../failure.ts'
import { type Stores, storesWarnings } from '../../stores.ts'
import { machine, openStoresBeside } from '../with-core.ts'
import { checkDatabase } from './check-database.ts'
import { checkPasswords } from './check-passwords.ts'
import { checkRedis } from './check-redis.ts'
import { type Finding, fail, guarded, ok, warn } from './finding.ts'

const readSettings = (): Config | readonly Finding[] => {
  try {
    return loadConfig()
  } catch (error) {
    const { messages, hint } = explainFailure(error)
    return messages.map((message) => fail('settings', message, hint))
  }
}

const isFindings = (value: Config | readonly Finding[]): value is readonly Finding[] =>
  Array.isArray(value)

const worthKnowing = (warnings: readonly string[]): Finding[] =>
  warnings.map((text) =>
    warn('settings', text, 'docs/reference/configuration.md explains the setting'),
  )

const settingsFindings = (config: Config): Finding[] => {
  const mode = config.production ? 'for production' : 'for development'
  return [ok('settings', `can be read, ${mode}`), ...worthKnowing(configWarnings(config))]
}

const checkStores = async (config: Config, stores: Stores): Promise<readonly Finding[]> => {
  // Each check says itself what is away; nothing else is to be reported.
  const core = await composeCore(config, stores, { ...machine, report: () => undefined })
  try {
    return [
      ...worthKnowing(storesWarnings(config, stores)),
      ...(await guarded('postgres', () => checkDatabase(core))),
      ...(await guarded('redis', () => checkRedis(core))),
      ...(await guarded('passwords', () => checkPasswords(core))),
    ]
  } finally {
    await core.close()
  }
}

const openAndCheck = async (config: Config): Promise<readonly Finding[]> => {
  const stores = await openStoresBeside(config)
  try {
    return await checkStores(config, stores)
  } finally {
    await stores.close()
  }
}

/** Everything that can be said about the deployment that the settings describe. Never throws; changes no data. */
export const checkDeployment = async (): Promise<readonly Finding[]> => {
  const config = readSettings()
  if (isFindings(config)) return config
  return [...settingsFindings(config), ...(await guarded('stores', () => openAndCheck(config)))]
}
