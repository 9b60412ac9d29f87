import { onTestFinished } from 'vitest'
import { createVerifier, type Verifier } from '../../src/index.ts'
import { systemClock } from '../../src/system-clock.ts'
import { startIssuer, type TestIssuer } from '../support/issuer.ts'
import type { ServedOptions, StartServer } from './guarded-servers.ts'

export type Guarded = {
  readonly issuer: TestIssuer
  readonly verifier: Verifier
  readonly url: string
  readonly surprises: readonly unknown[]
  /** As if so many seconds had passed for leases: the verifier's next look at its clock is that much later. */
  readonly skipSeconds: (seconds: number) => void
}

type Options = {
  /** The issuer cannot be reached from the start. */
  readonly away?: boolean
  /** Puts something else in the place of the verifier that the guards ask. */
  readonly replace?: (verifier: Verifier) => Verifier
  readonly sealedKeys?: readonly string[]
  readonly guards?: ServedOptions
}

/** An issuer, a verifier that follows it, and a server that is guarded by it; all end with the test. */
export const startGuarded = async (
  startServer: StartServer,
  { away = false, replace = (verifier) => verifier, sealedKeys, guards }: Options = {},
): Promise<Guarded> => {
  const issuer = await startIssuer()
  if (away) issuer.goAway()
  let skippedMs = 0
  const verifier = createVerifier({
    issuer: issuer.url,
    audience: issuer.audience,
    client: issuer.client,
    ...(sealedKeys !== undefined && { sealed: { keys: sealedKeys } }),
    clock: { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + skippedMs },
  })
  onTestFinished(() => verifier.close())
  const { url, surprises } = await startServer(replace(verifier), guards)
  if (!away) await verifier.ready()
  const skipSeconds = (seconds: number) => {
    skippedMs += seconds * 1000
  }
  return { issuer, verifier, url, surprises, skipSeconds }
}
