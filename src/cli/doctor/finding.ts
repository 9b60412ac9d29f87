import { explainFailure } from '../../explain-failure.ts'

/** The result of one check. Terminals and scripts show it, so it never contains a secret or the value of a setting that may be one. */
export type Finding = {
  readonly name: string
  /** `fail` makes the exit code 1. `skip`: it could not be checked, for a reason that another finding or the message names. */
  readonly state: 'ok' | 'warn' | 'fail' | 'skip'
  readonly message: string
  /** What to do, for `warn` and `fail`. */
  readonly fix?: string
}

export const ok = (name: string, message: string): Finding => ({ name, state: 'ok', message })

export const skip = (name: string, message: string): Finding => ({ name, state: 'skip', message })

export const warn = (name: string, message: string, fix: string): Finding => ({
  name,
  state: 'warn',
  message,
  fix,
})

export const fail = (name: string, message: string, fix: string): Finding => ({
  name,
  state: 'fail',
  message,
  fix,
})

/** For findings that are acceptable on a developer's machine and dangerous in production. */
export const failIn = (production: boolean) => (production ? fail : warn)

/** A check that throws becomes a finding. The others still run. */
export const guarded = async (
  name: string,
  check: () => Promise<readonly Finding[]>,
): Promise<readonly Finding[]> => {
  try {
    return await check()
  } catch (error) {
    const { messages, hint } = explainFailure(error)
    return messages.map((message) => fail(name, message, hint))
  }
}
