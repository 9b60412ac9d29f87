import type { Clock } from '../lib/clock.ts'
import type { HandleCodec } from './handle.ts'

export type IssueCookie = { readonly clock: Clock; readonly codec: Pick<HandleCodec, 'write'> }

/** What a sign-in hands out that is kept by a session cookie. */
export type IssuedCookie = {
  readonly sessionId: string
  readonly handle: string
  /** Whole seconds until the session ends if it is not used again. */
  readonly expiresInSeconds: number
  /** Whole seconds until it ends however much it is used: that long the browser keeps the cookie, which no use sets again. */
  readonly absoluteExpiresInSeconds: number
}

export type CookieFacts = {
  readonly sessionId: string
  readonly generation: number
  readonly idleExpiresAtMs: number
  readonly absoluteExpiresAtMs: number
}

/** Makes the handle of a cookie session as it now stands. Reads and writes nothing. */
export const issueCookie = (
  { clock, codec }: IssueCookie,
  { sessionId, generation, idleExpiresAtMs, absoluteExpiresAtMs }: CookieFacts,
  secret: Buffer,
): IssuedCookie => {
  const nowMs = clock.nowMs()
  const secondsUntil = (ms: number): number => Math.max(0, Math.ceil((ms - nowMs) / 1000))
  return {
    sessionId,
    handle: codec.write({ sessionId, generation, secret }),
    expiresInSeconds: secondsUntil(idleExpiresAtMs),
    absoluteExpiresInSeconds: secondsUntil(absoluteExpiresAtMs),
  }
}
