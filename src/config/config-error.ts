/** One setting that is missing or bad. The message never holds its value. */
export type SettingProblem = { readonly name: string; readonly message: string }

/**
 * Every missing or bad setting at once, so that a deployment is mended in one go. Has no `cause`: the errors of the
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
