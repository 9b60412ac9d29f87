import type { Verifier, VerifierState } from '../verifier/verifier.ts'

/** What a readiness endpoint answers. */
export type Readiness = {
  readonly status: 200 | 503
  readonly headers: Readonly<Record<string, string>>
  readonly body: { readonly ready: boolean; readonly state: VerifierState }
}

/**
 * Ready means: keys and a first snapshot are there. `STALE` stays ready: Cardea being away is no reason to take every instance of
 * every service out of its load balancer; what to do then is the policy of each route. The state is in the body, for monitoring.
 */
export const readinessOf = (verifier: Pick<Verifier, 'state'>): Readiness => {
  const state = verifier.state()
  const ready = state !== 'LOADING'
  return {
    status: ready ? 200 : 503,
    headers: { 'cache-control': 'no-store', 'content-type': 'application/json' },
    body: { ready, state },
  }
}
