import type { RevocationEntry } from '../../packages/verifier/src/wire.ts'
import { newId, systemRandom } from '../../src/lib/machine.ts'

export const newKid = (): string => systemRandom(32).toString('base64url')

export const secondsFromNow = (seconds: number): number => Math.ceil(Date.now() / 1000) + seconds

/** An entry for an id of its own that has not ended. */
export const entryOf = (
  kind: RevocationEntry['kind'],
  changes: Partial<Omit<RevocationEntry, 'kind'>> = {},
): RevocationEntry => ({
  kind,
  key: kind === 'everyone' ? '' : newId(systemRandom),
  minEpoch: undefined,
  notAfter: secondsFromNow(900),
  ...changes,
})

/** What a verified token says of itself. */
export type Facts = {
  readonly claims: {
    readonly jti: string
    readonly sid: string
    readonly sub: string
    readonly aep: readonly [global: number, account: number, claims: number]
  }
  readonly kid: string
}

type FactChanges = Partial<Facts['claims']> & { readonly kid?: string }

export const factsOf = ({ kid = newKid(), ...changes }: FactChanges = {}): Facts => ({
  claims: {
    jti: newId(systemRandom),
    sid: newId(systemRandom),
    sub: newId(systemRandom),
    aep: [1000, 2, 3],
    ...changes,
  },
  kid,
})
