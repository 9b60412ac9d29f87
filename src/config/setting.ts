import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'

/** What reading one text gave: the value, or what is wrong with it. A problem never quotes the text: it may be a secret. */
export type Parsed<Value> = { readonly value: Value } | { readonly problem: string }

/** How a setting is written: the rule in words, and the function that holds texts to it. */
export type Format<Value> = {
  /** Stands in this form on the configuration page, so the words and the check come from one place. */
  readonly limits: string
  readonly parse: (text: string) => Parsed<Value>
}

/** One environment variable. `docs/reference/configuration.md` is tested against every one of them. */
export type Setting<Value> = {
  readonly name: string
  readonly meaning: string
  readonly format: Format<Value>
  /** The value when the variable is unset or empty. */
  readonly fallback: Value
  /** For the page, when the fallback itself does not say it: it is computed, a list, or nothing. */
  readonly defaultText?: string
  readonly whyThisDefault: string
  /** True: with NODE_ENV=production there is no default, and an unset variable stops the start. */
  readonly isDemandedInProduction?: boolean
  /** True: it is, or holds, a secret, so `<name>_FILE` may name a file with the value instead. */
  readonly isSecret?: boolean
}

/** The default as the configuration page writes it. */
export const defaultTextOf = (setting: Setting<unknown>): string =>
  setting.defaultText ?? String(setting.fallback)

/** One setting that is missing or bad. The message never holds its value. */
export type SettingProblem = { readonly name: string; readonly message: string }

/**
 * Every missing or bad setting at once, so that a deployment can be corrected at once. Has no `cause`: the errors of the
 * parsers below (`URL`, `pg`) quote what they were given, and that may be a secret.
 */
export class ConfigError extends Error {
  readonly problems: readonly SettingProblem[]

  constructor(problems: readonly SettingProblem[]) {
    const lines = problems.map(({ name, message }) => `${name} ${message}`)
    super(`settings are missing or bad:\n${lines.map((line) => `  ${line}`).join('\n')}`)
    this.name = 'ConfigError'
    this.problems = problems
  }
}

/** Eight secrets, or a URL, are far shorter. Whoever names a log or a disk by mistake is told so. */
const maxFileBytes = 64 * 1024

const writableByOthers = 0o002

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : 'unknown'

const problems: Readonly<Record<string, string>> = {
  ENOENT: 'names a file that does not exist',
  ENOTDIR: 'names a file that does not exist',
  EACCES: 'names a file that this user may not read',
  EPERM: 'names a file that this user may not read',
}

const textIn = (descriptor: number): Parsed<string> => {
  const found = fstatSync(descriptor)
  if (!found.isFile()) return { problem: 'names something that is not a file' }
  if (found.size > maxFileBytes) {
    return { problem: `names a file of more than ${maxFileBytes / 1024} KiB` }
  }
  if (found.mode & writableByOthers) {
    return { problem: 'names a file that every user may write: run `chmod o-w` on it' }
  }
  const text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(descriptor))
  // Editors and `echo` end a file with one; more than one would be a part of the secret that was not meant.
  const value = text.replace(/\r?\n$/, '')
  return value === '' ? { problem: 'names a file that is empty' } : { value }
}

/**
 * Reads a secret from a file, as Docker, Kubernetes and systemd mount them. A problem names neither the path nor the text: somebody may
 * have put the secret itself where the path belongs.
 */
const readSecretFile = (path: string): Parsed<string> => {
  let descriptor: number | undefined
  try {
    // Opening a named pipe would wait for its writer.
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    return textIn(descriptor)
  } catch (error) {
    if (error instanceof TypeError) return { problem: 'names a file that is not UTF-8 text' }
    const code = codeOf(error)
    return { problem: problems[code] ?? `names a file that cannot be read (${code})` }
  } finally {
    if (descriptor !== undefined) closeSync(descriptor)
  }
}

export type Environment = Readonly<Record<string, string | undefined>>

/** Reads settings one by one and gathers what is wrong, so that the last problem is told with the first. */
export type SettingReader = {
  /** The value, or the fallback when there is none or it is bad; then `problems` has grown. */
  readonly read: <Value>(setting: Setting<Value>) => Value
  readonly problems: SettingProblem[]
}

/** The variable that names a file with the value of a secret setting. */
export const fileVariableOf = (name: string): string => `${name}_FILE`

/** An empty variable counts as unset: that is what `NAME=` in a file and an undefined one in a manifest give. */
const isSet = (environment: Environment, name: string): boolean => {
  const text = environment[name]
  return text !== undefined && text !== ''
}

/** Whether the setting has a value of its own, in the environment or in a file that the environment names. */
export const isGiven = (
  environment: Environment,
  { name, isSecret }: Pick<Setting<unknown>, 'name' | 'isSecret'>,
): boolean =>
  isSet(environment, name) || (isSecret === true && isSet(environment, fileVariableOf(name)))

/** What stands behind a setting, and how a problem with it begins. Undefined: nothing does. */
type Source = { readonly text: string; readonly origin: string }

const sourceOf = (
  environment: Environment,
  { name, isSecret }: Setting<unknown>,
): Source | SettingProblem | undefined => {
  const text = environment[name] ?? ''
  const fileVariable = fileVariableOf(name)
  const path = isSecret ? (environment[fileVariable] ?? '') : ''
  if (path === '') return text === '' ? undefined : { text, origin: '' }
  if (text !== '') {
    return { name: fileVariable, message: `and ${name} are both set: remove one of them` }
  }
  const read = readSecretFile(path)
  if ('problem' in read) return { name: fileVariable, message: read.problem }
  return { text: read.value, origin: `(read from ${fileVariable}) ` }
}

export const settingReader = (environment: Environment, isProduction: boolean): SettingReader => {
  const problems: SettingProblem[] = []
  const read = <Value>(setting: Setting<Value>): Value => {
    const { name, format, fallback, isDemandedInProduction } = setting
    const source = sourceOf(environment, setting)
    if (source === undefined) {
      if (isProduction && isDemandedInProduction) {
        problems.push({ name, message: 'is missing: production demands it' })
      }
      return fallback
    }
    if ('message' in source) {
      problems.push(source)
      return fallback
    }
    const parsed = format.parse(source.text)
    if ('value' in parsed) return parsed.value
    problems.push({ name, message: `${source.origin}${parsed.problem}` })
    return fallback
  }
  return { read, problems }
}
