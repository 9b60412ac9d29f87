/** The public part of an expected failure: stable, and safe to show to anyone. */
export type ErrorDefinition = {
  /** The HTTP status of the response. */
  readonly status: number
  /** One sentence, always the same for this code (RFC 9457 section 3.1.4). */
  readonly title: string
}

export type ErrorOptions = {
  /** More about this occurrence. The caller sees it: never a secret, never the text of a lower layer. */
  readonly detail?: string
  /** Why a session ended: the same code in the error, the audit entry and the event. */
  readonly reason?: string
  /** Whole seconds after which a retry makes sense. Sent as `Retry-After`. */
  readonly retryAfterSeconds?: number
  /** The exact cause, for the log only. */
  readonly cause?: unknown
}

/** The only type of expected failure. `src/http/failures.ts` turns it into a response; anything else that is thrown is a 500. */
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

/** The result of the promise, or nothing when it was refused with a 401. A 503 is still thrown. */
export const unlessUnauthorized = <T>(promised: Promise<T>): Promise<T | undefined> =>
  promised.catch((error: unknown) => {
    if (error instanceof AppError && error.status === 401) return undefined
    throw error
  })

export type ErrorCatalogue<Code extends string> = {
  readonly definitions: Readonly<Record<Code, ErrorDefinition>>
  /** Makes the error and returns it. The caller throws it, so that the compiler sees that the path ends. */
  readonly error: (code: Code, options?: ErrorOptions) => AppError
}

/** The errors of a feature, each defined once. A test checks `docs/reference/errors.md` against all of them. */
export const defineErrors = <Code extends string>(
  definitions: Readonly<Record<Code, ErrorDefinition>>,
): ErrorCatalogue<Code> => ({
  definitions,
  error: (code, options) => new AppError(code, definitions[code], options),
})

/** For checks of tokens, and for requests whose token is malformed. */
export const tokenErrors = defineErrors({
  // One response for every defect, because the exact reason would help only an attacker. The log has the cause.
  invalid_token: { status: 401, title: 'The access token is not valid.' },
})
