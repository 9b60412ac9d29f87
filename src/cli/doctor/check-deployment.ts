import { composeCore } from '../../compose/core.ts'
import { type Config, configWarnings, loadConfig } from '../../config/index.ts'
import { explainFailure } from '../../failure.ts'
import { readKeptSecret } from '../../kept-secret.ts'
import { awaitDatabase, patientConfig } from '../../schema.ts'
import { lacksDatabase, type Stores, storesWarnings } from '../../stores.ts'
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
  const core = await composeCore(patientConfig(config), stores, {
    ...machine,
    report: () => undefined,
  })
  const whenUp = () => awaitDatabase(config, stores.databaseUrl, () => undefined)
  try {
    return [
      ...worthKnowing(storesWarnings(config, stores)),
      ...(await guarded('postgres', () => checkDatabase(core, whenUp))),
      ...(await guarded('redis', () => checkRedis(core))),
      ...(await guarded('passwords', () => checkPasswords(core))),
    ]
  } finally {
    await core.close()
  }
}

const startMakesIt = 'start the service, which makes it; or check DATA_DIR'

/** Opening stores makes and keeps the secrets that are missing, unless there is one: of a missing one a throw-away takes the place. */
const withSomeSecret = async (config: Config): Promise<readonly [Config, ...Finding[]]> => {
  if (config.secrets) return [config]
  const kept = await readKeptSecret(config.dataDir, 'secret')
  if (kept !== undefined) return [{ ...config, secrets: [kept] }]
  const throwAway = machine.random(32).toString('base64url')
  return [
    { ...config, secrets: [throwAway] },
    warn('secret', 'none is set, and none is in DATA_DIR yet', startMakesIt),
  ]
}

const openAndCheck = async (settings: Config): Promise<readonly Finding[]> => {
  if (lacksDatabase(settings)) {
    return [warn('postgres', 'there is no data in DATA_DIR yet', startMakesIt)]
  }
  const [config, ...findings] = await withSomeSecret(settings)
  const stores = await openStoresBeside(config)
  try {
    return [...findings, ...(await checkStores(config, stores))]
  } finally {
    await stores.close()
  }
}

/** Everything that can be said about the deployment that the settings describe. Never throws; changes no data and makes none. */
export const checkDeployment = async (): Promise<readonly Finding[]> => {
  const config = readSettings()
  if (isFindings(config)) return config
  return [...settingsFindings(config), ...(await guarded('stores', () => openAndCheck(config)))]
}
