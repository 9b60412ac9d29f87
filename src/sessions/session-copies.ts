import type { CookieSession } from './cookie-session.ts'

export type SessionCopy = {
  readonly session: CookieSession
  /** SHA-256 of the secret of its handle, in base64url. */
  readonly secretDigest: string
  /** By the clock of whoever made it, before it read the row. */
  readonly copiedAtMs: number
}

/** How long a copy may be used. Revocations are remembered for longer, so no copy outlives what would refuse it. */
export const copyLifetimeMs = 60_000

/** Copies of sessions that spare Postgres a look-up. Any of them may be old, missing or gone at any moment. */
export type SessionCopies = {
  /** Whether the cache is there, as far as this process knows. */
  readonly isReady: () => boolean
  /** None: there is none, it is not one that we made, or the cache is away. Never rejects. */
  readonly read: (sessionId: string) => Promise<SessionCopy | undefined>
  /** Keeps a copy unless there is a newer one. */
  readonly write: (copy: SessionCopy) => Promise<void>
  readonly drop: (sessionIds: readonly string[]) => Promise<void>
}
