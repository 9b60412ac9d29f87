import type { Verifier, VerifierState } from '../verifier/verifier.ts'

/** The response of a readiness endpoint. */
export type Readiness = {
  readonly status: 200 | 503
  readonly headers: Readonly<Record<string, string>>
  readonly body: { readonly ready: boolean; readonly state: VerifierState }
}

/**
 * Ready means that keys and a first snapshot are loaded. `STALE` is still ready: while Cardea is unreachable, removing every process of
 * every service from its load balancer would not help, and the policy of each route decides. The body contains the state, for monitoring.
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
