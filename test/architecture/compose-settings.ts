/**
 * The settings that docker-compose.yml gives the service: those of .env, which are its variables too, and over them the block `x-settings`
 * with the variables filled in. Reads one `NAME: value` a line: no YAML beyond that.
 * @throws Error for a variable that compose would demand too
 */
export const composeSettings = (
  text: string,
  variables: Readonly<Record<string, string>>,
): Record<string, string> => {
  const [, block = ''] = /^x-settings: &settings\n((?: {2}.*\n)+)/m.exec(text) ?? []
  const passesAllOn = /^x-cardea: &cardea\n(?: {2}.*\n)*? {2}env_file: \[\.env\]\n/m.test(text)
  const settings: Record<string, string> = passesAllOn ? { ...variables } : {}
  for (const line of block.split('\n').filter((one) => !/^\s*(#|$)/.test(one))) {
    const [, name, value] = /^ {2}([A-Z_]+): (.*)$/.exec(line) ?? []
    if (name === undefined || value === undefined) throw new Error(`not a setting: ${line}`)
    settings[name] = value
      .replace(/^'(.*)'$/, '$1')
      .replace(
        /\$\{(\w+)(?::([-?])([^}]*))?\}/g,
        (_, variable: string, sign: string, rest: string) => {
          const given = variables[variable]
          if (given !== undefined) return given
          if (sign === '-') return rest
          throw new Error(`${variable} is not set`)
        },
      )
  }
  return settings
}
