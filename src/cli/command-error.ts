import { exitCodes, type Failure } from '../failure.ts'

/** What a command itself has to refuse; failures from below are put into words by `failure.ts`. */
export class CommandError extends Error {
  readonly failure: Failure

  constructor(code: string, message: string, hint: string, exitCode: number = exitCodes.failed) {
    super(message)
    this.name = 'CommandError'
    this.failure = { messages: [message], hint, code, exitCode }
  }
}

/** The command was not written as it must be; nothing was done. The message quotes nothing that could be a secret. */
export const usageError = (message: string, hint: string): CommandError =>
  new CommandError('usage', message, hint, exitCodes.usage)
