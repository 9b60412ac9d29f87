/** What callers may learn of an expected failure: stable, and safe to show to anyone. */
export type ErrorDefinition = {
  /** The HTTP status of the answer. */
  readonly status: number
  /** One sentence, always the same for this code (RFC 9457 section 3.1.4). */
  readonly title: string
}

export type ErrorOptions = {
  /** More about this one occurrence. Goes to the caller: never a secret, never text from below. */
  readonly detail?: string
  /** Why a session ended: the same code in the error, the audit entry and the event. */
  readonly reason?: string
  /** Whole seconds after which trying again makes sense; becomes `Retry-After`. */
  readonly retryAfterSeconds?: number
  /** The exact cause, for the log only. */
  readonly cause?: unknown
}

/** The one type of expected failure. `src/http/errors.ts` turns it into an answer; anything else thrown is a 500. */
export class AppError extends Error {
  readonly code: string
  readonly status: number
  readonly title: string
  readonly detail: string | undefined
  readonly reason: string | undefined
  readonly retryAfterSeconds: number | undefined

  constructor(code: string, definition: ErrorDefinition, options: ErrorOptions = {}) {
    super(options.detail ?? definition.title, { cause: options.cause })
    this.name = 'AppError'
    this.code = code
    this.status = definition.status
    this.title = definition.title
    this.detail = options.detail
    this.reason = options.reason
    this.retryAfterSeconds = options.retryAfterSeconds
  }
}

/** Whether an error is the expected failure with this code. */
export const hasCode = (error: unknown, code: string): boolean =>
  error instanceof AppError && error.code === code

/** What was promised, or nothing when it was refused with a 401. Being unable to know (503) is still thrown. */
export const unlessUnauthorized = <T>(promised: Promise<T>): Promise<T | undefined> =>
  promised.catch((error: unknown) => {
    if (error instanceof AppError && error.status === 401) return undefined
    throw error
  })

export type ErrorCatalogue<Code extends string> = {
  readonly definitions: Readonly<Record<Code, ErrorDefinition>>
  /** Makes the error; the caller throws it, so that the compiler sees the end of the path. */
  readonly error: (code: Code, options?: ErrorOptions) => AppError
}

/** A feature's errors, each named once. `docs/reference/errors.md` is tested against all of them. */
export const defineErrors = <Code extends string>(
  definitions: Readonly<Record<Code, ErrorDefinition>>,
): ErrorCatalogue<Code> => ({
  definitions,
  error: (code, options) => new AppError(code, definitions[code], options),
})

/** Thrown where a token is checked, and at the edge for what is none. */
export const tokenErrors = defineErrors({
  // One answer for every defect: which check refused it helps only those who forge. The log has the cause.
  invalid_token: { status: 401, title: 'The access token is not valid.' },
})
