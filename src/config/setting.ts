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
