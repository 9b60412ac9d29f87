import { explainFailure } from '../../explain-failure.ts'

/** What one check found. Goes to a terminal and to scripts: never holds a secret or the value of a setting that may be one. */
export type Finding = {
  readonly name: string
  /** `fail` makes the exit code 1; `skip`: could not be asked, for a reason that another finding or the message names. */
  readonly state: 'ok' | 'warn' | 'fail' | 'skip'
  readonly message: string
  /** What to do; with `warn` and `fail`. */
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

/** What is only a poor idea on a developer's machine and a hole in production. */
export const failIn = (production: boolean) => (production ? fail : warn)

/** A check that threw is a finding too; the others still run. */
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
