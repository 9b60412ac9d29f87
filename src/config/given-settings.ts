import { browserSettings } from './browser-settings.ts'
import { loginSettings } from './login-settings.ts'
import { serverSettings } from './server-settings.ts'
import { ConfigError, type Setting } from './setting.ts'
import { type Environment, fileVariableOf, isGiven, settingReader } from './setting-reader.ts'
import { storeSettings } from './store-settings.ts'
import { tokenSettings } from './token-settings.ts'

/** Every variable by its field in the configuration, in the order of the configuration page and of `.env.example`. */
export const settings = {
  ...serverSettings,
  ...storeSettings,
  ...tokenSettings,
  ...browserSettings,
  ...loginSettings,
}

export const allSettings: readonly Setting<unknown>[] = Object.values(settings)

/** The settings that a service was started with, without defaults. Contains no secret. */
export type GivenSettings = {
  readonly settings: Readonly<Record<string, string>>
  /** The names of the secrets that were given and not generated. */
  readonly secrets: readonly string[]
}

/** Settings that say where the process runs and not how it works. */
const isOfPlace = ({ name }: Setting<unknown>): boolean => name === settings.dataDir.name

export const givenSettings = (environment: Environment = process.env): GivenSettings => {
  const given = allSettings.filter((setting) => isGiven(environment, setting))
  const plain = given.filter((setting) => !setting.isSecret && !isOfPlace(setting))
  return {
    settings: Object.fromEntries(plain.map(({ name }) => [name, environment[name] ?? ''])),
    secrets: given.filter(({ isSecret }) => isSecret).map(({ name }) => name),
  }
}

/** The service and the command must share these: signing keys, handles and password hashes depend on them. */
const shared: readonly Setting<unknown>[] = [settings.secrets, settings.passwordPeppers]

const onlyHere = 'is set here, and the running service has none: run the command without it'
const onlyThere = 'is set for the running service and not here: run the command with the same value'

const readAs = (environment: Environment, setting: Setting<unknown>): string =>
  JSON.stringify(settingReader(environment, false).read(setting))

/** Another version may have written the file. Only settings that are neither a secret nor a folder are used. */
const plainOnly = (noted: GivenSettings['settings']): GivenSettings['settings'] => {
  const plain = new Set(
    allSettings.filter((one) => !one.isSecret && !isOfPlace(one)).map(({ name }) => name),
  )
  return Object.fromEntries(Object.entries(noted).filter(([name]) => plain.has(name)))
}

export type SettingsBeside = {
  /** For `loadConfig`. */
  readonly environment: Environment
  /** The settings that differ between the command and the service. */
  readonly differing: readonly string[]
}

/**
 * The settings of a command that uses a running service: those of the service, overridden by the command's own.
 * @throws ConfigError when only one of the two was given CARDEA_SECRET or PASSWORD_PEPPER
 */
export const settingsBeside = (
  service: GivenSettings,
  environment: Environment = process.env,
): SettingsBeside => {
  const own = givenSettings(environment)
  const isApart = ({ name }: Setting<unknown>) =>
    own.secrets.includes(name) !== service.secrets.includes(name)
  const broken = shared
    .filter(isApart)
    .map(({ name }) => ({ name, message: own.secrets.includes(name) ? onlyHere : onlyThere }))
  if (broken.length > 0) throw new ConfigError(broken)
  const merged = { ...environment, ...plainOnly(service.settings), ...own.settings }
  const differs = (setting: Setting<unknown>) =>
    own.settings[setting.name] !== undefined &&
    readAs(service.settings, setting) !== readAs(merged, setting)
  const differing = allSettings.filter((setting) => differs(setting) || isApart(setting))
  return { environment: merged, differing: differing.map(({ name }) => name) }
}

/** The environment for a program that a command starts, without Cardea's settings, which contain secrets. */
export const foreignEnvironment = (environment: Environment = process.env): Environment => {
  const own = new Set(allSettings.flatMap(({ name }) => [name, fileVariableOf(name)]))
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !own.has(name)))
}
