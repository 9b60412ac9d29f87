import { leewaySeconds, longestTokenSeconds, mintSlackSeconds } from '../lib/token-times.ts'

/**
 * The times of the life of a signing key. They follow from each other: a key must be known to every verifier before it signs, and must
 * verify for as long as a token of it can be good.
 */

const minuteMs = 60_000

/** How often every instance reads the keys again and looks whether something is due; varied by a fifth. */
export const rereadEveryMs = 30_000

/**
 * A key signs only when it has been published for this long. Whoever fetched the key set just before keeps it for `max-age` (5 min) or
 * as long as their library wants (jose: 10 min), then may not ask again during a cool-down (30 s); some are slower, proxies in between
 * add theirs, instances serve it some seconds after it was made, and clocks differ. An hour is far beyond all of that together.
 */
export const publishedBeforeUseMs = 60 * minuteMs

/**
 * An instance that could not read the keys again for this long issues no tokens: the others may have retired the key it would sign
 * with. Whatever else happens, `keptAfterRetirementMs` counts on it.
 */
export const signsUnreadMs = 10 * minuteMs

/** Whoever was let in by `signsUnreadMs` is still served: a request that ends in a refusal has consumed its refresh token. */
export const signsUnreadSlackMs = minuteMs

/**
 * Nor does it publish them any more after this long: a key that the others made right after its last reading may begin to sign
 * at `publishedBeforeUseMs`, and a verifier would hold our old set until then. Nothing is lost by it: who cannot read, cannot issue, and every token
 * that was issued before has expired.
 */
export const servedUnreadMs = 30 * minuteMs

/**
 * How long a retired key verifies: until the last token of it has expired by anybody's clock, also one of an instance that
 * learned of the rotation as late as it may.
 */
export const keptAfterRetirementMs =
  (longestTokenSeconds + leewaySeconds + mintSlackSeconds) * 1000 +
  signsUnreadMs +
  signsUnreadSlackMs
