import { expect } from 'vitest'
import {
  type CheckAccessTokenOptions,
  type CheckedToken,
  checkAccessToken,
  VerifierError,
  type VerifierErrorCode,
} from '../../src/index.ts'
import type { HostileTokens } from './hostile-tokens.ts'
import { audience, issuer, startMs, type TestKey } from './signed-tokens.ts'

/** A check that knows `keys`; `asked` lists the kids it looked up, `clock.now` is what it takes for the time. */
export const checkWith = (
  keys: readonly TestKey[],
  options: Partial<CheckAccessTokenOptions> = {},
) => {
  const known = new Map(keys.map((key) => [key.kid, key]))
  const asked: string[] = []
  const clock = { now: startMs, nowMs: () => clock.now }
  const check = checkAccessToken({
    issuer,
    audiences: [audience, issuer],
    keyOf: (kid) => {
      asked.push(kid)
      return known.get(kid)
    },
    clock,
    ...options,
  })
  return { check, asked, known, clock }
}

/** The hidden reason; fails when the token is accepted, or refused in any other way than asked for. */
export const refusalOf = async (
  checking: Promise<CheckedToken>,
  code: VerifierErrorCode = 'token_invalid',
): Promise<string> => {
  const error = await checking.then(
    ({ claims }) => `accepted: ${JSON.stringify(claims)}`,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(VerifierError)
  expect(error).toMatchObject({ code, status: 401, retryAfterSeconds: undefined })
  return error instanceof VerifierError && error.cause instanceof Error ? error.cause.message : ''
}

/** Fails unless each of the tokens is refused, and for a reason that fits. */
export const expectRefused = async (
  check: (token: string) => Promise<CheckedToken>,
  { reason, tokens }: HostileTokens,
): Promise<void> => {
  expect(tokens).not.toHaveLength(0)
  for (const token of tokens) {
    expect(await refusalOf(check(token)), token.slice(0, 1000)).toMatch(reason)
  }
}
