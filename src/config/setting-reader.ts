import { readSecretFile } from './secret-file.ts'
import type { Setting, SettingProblem } from './setting.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** Reads settings one by one and collects the problems, so that all are reported together. */
export type SettingReader = {
  /** The value, or the fallback when it is unset or invalid. An invalid one is added to `problems`. */
  readonly read: <Value>(setting: Setting<Value>) => Value
  readonly problems: SettingProblem[]
}

/** The variable that names a file with the value of a secret setting. */
export const fileVariableOf = (name: string): string => `${name}_FILE`

/** An empty variable is treated as unset: `NAME=` in a file and an undefined one in a manifest produce it. */
const isSet = (environment: Environment, name: string): boolean => {
  const text = environment[name]
  return text !== undefined && text !== ''
}

/** Whether the setting has a value, in the environment or in a file that the environment names. */
export const isGiven = (
  environment: Environment,
  { name, isSecret }: Pick<Setting<unknown>, 'name' | 'isSecret'>,
): boolean =>
  isSet(environment, name) || (isSecret === true && isSet(environment, fileVariableOf(name)))

/** The text of a setting, and how a problem with it begins. Undefined: unset. */
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
        problems.push({ name, message: 'is missing: production requires it' })
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
