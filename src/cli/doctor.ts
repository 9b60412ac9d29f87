import { Command } from 'commander'
import { type Config, configWarnings, misspeltSettings, noTrustedProxy } from '../config/index.ts'
import { type Core, openCore } from '../core.ts'
import { exitCodes, explainFailure } from '../explain-failure.ts'
import { awaitDatabase, patientConfig } from '../schema.ts'
import {
  lacksDatabase,
  readKeptSecret,
  type StoreCredentials,
  storesWarnings,
} from '../store-credentials.ts'
import { checkAddress } from './doctor/check-address.ts'
import { checkDatabase } from './doctor/check-database.ts'
import { checkRedis } from './doctor/check-redis.ts'
import { type Finding, fail, guarded, ok, warn } from './doctor/finding.ts'
import { jsonOption, type OutputOptions, printResult, usageError } from './output.ts'
import { commandConfig, machine, openStoresBeside } from './with-core.ts'

/** Users wait for this at every login, and it occupies a core. */
const slowMs = 500

const fastEngine = '@node-rs/argon2'

/** Hashes one throw-away password with the current policy. */
const checkPasswords = async (core: Core): Promise<readonly Finding[]> => {
  const { hasher, hashedBy, machine } = core
  const startMs = machine.clock.monotonicMs()
  await hasher.hash(machine.random(24).toString('base64url'))
  const tookMs = Math.round(machine.clock.monotonicMs() - startMs)
  const text = `argon2id by ${hashedBy} takes ${tookMs} ms a hash`
  if (tookMs > slowMs) return [warn('passwords', text, 'give the service more or faster cores')]
  return hashedBy === fastEngine
    ? [ok('passwords', text)]
    : [warn('passwords', text, `install ${fastEngine}: the same hashes for less than half the CPU`)]
}

const readSettings = async (): Promise<Config | readonly Finding[]> => {
  try {
    return await commandConfig({ checksFiles: true })
  } catch (error) {
    const { messages, hint } = explainFailure(error)
    return messages.map((message) => fail('settings', message, hint))
  }
}

const isFindings = (value: Config | readonly Finding[]): value is readonly Finding[] =>
  Array.isArray(value)

const worthKnowing = (warnings: readonly string[]): Finding[] =>
  warnings.map((text) =>
    text === noTrustedProxy
      ? fail('settings', text, 'name the address that the proxy in front comes from')
      : warn('settings', text, 'docs/reference/configuration.md explains the setting'),
  )

const settingsFindings = (config: Config): Finding[] => {
  const mode = config.production ? 'for production' : 'for development'
  const misspelt = misspeltSettings().map(({ name, message }) =>
    warn('settings', `${name} ${message}`, 'rename the variable, or take it out'),
  )
  return [
    ok('settings', `can be read, ${mode}`),
    ...misspelt,
    ...worthKnowing(configWarnings(config)),
  ]
}

export type DoctorOptions = {
  /** If set, also tries a login through this address, as clients do. True: that of ISSUER. */
  readonly url: string | true | undefined
}

const checkStores = async (
  config: Config,
  stores: StoreCredentials,
  { url }: DoctorOptions,
): Promise<readonly Finding[]> => {
  // Each check reports what is unreachable, so nothing else is reported.
  const core = await openCore(patientConfig(config), stores, {
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
      ...(url === undefined ? [] : await checkAddress(core, url === true ? config.issuer : url)),
    ]
  } finally {
    await core.close()
  }
}

const startMakesIt = 'start the service, which makes it; or check DATA_DIR'

/** Opening stores creates and keeps missing secrets. So a throw-away secret replaces a missing one here. */
const withSomeSecret = async (config: Config): Promise<readonly [Config, ...Finding[]]> => {
  if (config.secrets) return [config]
  const kept = await readKeptSecret(config)
  if (kept !== undefined) return [{ ...config, secrets: [kept] }]
  const throwAway = machine.random(32).toString('base64url')
  return [
    { ...config, secrets: [throwAway] },
    warn('secret', 'none is set, and none is in DATA_DIR yet', startMakesIt),
  ]
}

const openAndCheck = async (
  settings: Config,
  options: DoctorOptions,
): Promise<readonly Finding[]> => {
  if (await lacksDatabase(settings)) {
    return [warn('postgres', 'there is no data in DATA_DIR yet', startMakesIt)]
  }
  const [config, ...findings] = await withSomeSecret(settings)
  const stores = await openStoresBeside(config)
  try {
    return [...findings, ...(await checkStores(config, stores, options))]
  } finally {
    await stores.close()
  }
}

/**
 * Checks the deployment that the settings describe. Never throws. It creates and changes no data, except the audit entry of a refused login
 * if that check is requested.
 */
const checkDeployment = async (options: DoctorOptions): Promise<readonly Finding[]> => {
  const config = await readSettings()
  if (isFindings(config)) return config
  return [
    ...settingsFindings(config),
    ...(await guarded('stores', () => openAndCheck(config, options))),
  ]
}

const linesOf = ({ state, name, message, fix }: Finding): string[] => [
  `${state.padEnd('skip'.length)}  ${name.padEnd('postgres-durability'.length)}  ${message}`,
  ...(fix === undefined ? [] : [`      fix: ${fix}`]),
]

const summaryOf = (failures: number, warnings: number): string => {
  if (failures > 0) return `${failures} to fix`
  if (warnings === 0) return 'nothing is wrong'
  return `nothing to fix, ${warnings} ${warnings === 1 ? 'warning' : 'warnings'}`
}

type Options = OutputOptions & { readonly url?: string | true }

/** Only the path of ISSUER is allowed, and neither user nor password. */
const checkedUrl = (text: string): string => {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const isPlain =
    url &&
    /^https?:$/.test(url.protocol) &&
    !url.username &&
    !url.password &&
    !url.search &&
    !url.hash
  if (isPlain) return text.replace(/\/$/, '')
  throw usageError('--url is not an address', 'write it as https://auth.example.com')
}

const act = async ({ url, ...options }: Options): Promise<void> => {
  const checks = await checkDeployment({ url: typeof url === 'string' ? checkedUrl(url) : url })
  const count = (wanted: Finding['state']) => checks.filter(({ state }) => state === wanted).length
  const failures = count('fail')
  const summary = summaryOf(failures, count('warn'))
  printResult(options, { ok: failures === 0, checks }, [...checks.flatMap(linesOf), summary])
  if (failures > 0) process.exitCode = exitCodes.failed
}

export const doctorCommand = (): Command =>
  new Command('doctor')
    .description('check this deployment and say what to fix; changes nothing')
    .option('--url [url]', 'also try a login as clients do, through this address; default: ISSUER')
    .option(...jsonOption)
    .action(act)
