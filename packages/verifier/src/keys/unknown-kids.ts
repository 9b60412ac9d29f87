/** Kids that were asked for and that the issuer does not have: asking again would only tire it. */
export type UnknownKids = {
  readonly has: (kid: string, nowMs: number) => boolean
  readonly add: (kid: string, nowMs: number) => void
}

/** As long as a fetched set is used at most; a kid that appears in the set counts from then on, whatever stands here. */
const rememberMs = 600_000

/** Whoever sends random kids fills this and no more; the oldest is forgotten. */
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
