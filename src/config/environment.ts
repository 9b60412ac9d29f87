import type { SettingProblem } from './config-error.ts'
import type { Setting } from './setting.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** Reads settings one by one and gathers what is wrong, so that the last problem is told with the first. */
export type SettingReader = {
  /** The value, or the fallback when there is none or it is bad; then `problems` has grown. */
  readonly read: <Value>(setting: Setting<Value>) => Value
  readonly problems: SettingProblem[]
}

/** An empty variable counts as unset: that is what `NAME=` in a file and an undefined one in a manifest give. */
export const settingReader = (environment: Environment, isProduction: boolean): SettingReader => {
  const problems: SettingProblem[] = []
  const read = <Value>(setting: Setting<Value>): Value => {
    const text = environment[setting.name]
    if (text === undefined || text === '') {
      if (isProduction && setting.isDemandedInProduction) {
        problems.push({ name: setting.name, message: 'is missing: production demands it' })
      }
      return setting.fallback
    }
    const parsed = setting.format.parse(text)
    if ('value' in parsed) return parsed.value
    problems.push({ name: setting.name, message: parsed.problem })
    return setting.fallback
  }
  return { read, problems }
}
