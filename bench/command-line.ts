import { parseArgs } from 'node:util'
import type { Scenario } from './scenario.ts'
import { scenarios } from './scenarios/index.ts'

export const usage = `usage: node bench/main.ts [scenario…] [--seconds N] [--profile FOLDER]

  scenario   ${scenarios.map(({ name }) => name).join(', ')}; all when none is named
  --seconds  how long one round lasts (2)
  --profile  leave a CPU profile of every child process in this folder
`

export type BenchOptions = {
  readonly scenarios: readonly Scenario[]
  readonly seconds: number
  readonly profileFolder: string | undefined
}

const select = (names: readonly string[]): readonly Scenario[] => {
  const unknown = names.find((name) => !scenarios.some((scenario) => scenario.name === name))
  if (unknown !== undefined) throw new TypeError(`there is no scenario named ${unknown}`)
  return scenarios.filter(({ name }) => names.length === 0 || names.includes(name))
}

/** @throws TypeError for unknown arguments */
export const readCommandLine = (args: readonly string[]): BenchOptions => {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      seconds: { type: 'string', default: '2' },
      profile: { type: 'string' },
    },
  })
  const seconds = Number(values.seconds)
  if (!(seconds > 0 && seconds <= 600)) throw new TypeError('--seconds takes a number up to 600')
  return {
    scenarios: select(positionals),
    seconds,
    profileFolder: values.profile,
  }
}
