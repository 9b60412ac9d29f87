/** Kids that the issuer does not have. Asking again would only put load on it. */
export type UnknownKids = {
  readonly has: (kid: string, nowMs: number) => boolean
  readonly add: (kid: string, nowMs: number) => void
}

/** As long as a fetched set is used at most. When a kid appears in the set, that takes precedence. */
const rememberMs = 600_000

/** An attacker with random kids fills only this. The oldest is dropped. */
const maximumKids = 1000

export const createUnknownKids = (): UnknownKids => {
  const untilMs = new Map<string, number>()
  return {
    has: (kid, nowMs) => (untilMs.get(kid) ?? nowMs) > nowMs,
    add: (kid, nowMs) => {
      untilMs.delete(kid)
      untilMs.set(kid, nowMs + rememberMs)
      if (untilMs.size <= maximumKids) return
      for (const oldest of untilMs.keys()) {
        untilMs.delete(oldest)
        return
      }
    },
  }
}
