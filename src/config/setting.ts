/** The result of parsing a text: the value, or the problem. A problem never quotes the text, which may be a secret. */
export type Parsed<Value> = { readonly value: Value } | { readonly problem: string }

/** The format of a setting: the rule in words, and the function that checks it. */
export type Format<Value> = {
  /** The configuration page shows this text, so that the words and the check come from one place. */
  readonly limits: string
  readonly parse: (text: string) => Parsed<Value>
}

/** One environment variable. A test checks `docs/reference/configuration.md` against every one. */
export type Setting<Value> = {
  readonly name: string
  readonly meaning: string
  readonly format: Format<Value>
  /** The value when the variable is unset or empty. */
  readonly fallback: Value
  /** For the configuration page, when the fallback does not show it: it is computed, a list, or nothing. */
  readonly defaultText?: string
  readonly whyThisDefault: string
  /** True: with NODE_ENV=production there is no default, and the start fails without the variable. */
  readonly isDemandedInProduction?: boolean
  /** True: it is or contains a secret, so `<name>_FILE` may name a file with the value instead. */
  readonly isSecret?: boolean
}

/** The default, as shown on the configuration page. */
export const defaultTextOf = (setting: Setting<unknown>): string =>
  setting.defaultText ?? String(setting.fallback)

/** One missing or invalid setting. The message never contains its value. */
export type SettingProblem = { readonly name: string; readonly message: string }

/**
 * All missing and invalid settings, so that they can be corrected together. It has no `cause`, because the errors of parsers (`URL`, `pg`)
 * quote their input, which may be a secret.
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
