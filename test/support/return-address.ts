import { returnTokens } from '../../src/forward-auth/index.ts'
import { keyLabels, secretRing } from '../../src/keys/index.ts'
import type { Clock } from '../../src/lib/clock.ts'
import type { Cardea } from './cardea.ts'

/** Signed return addresses as this service makes and reads them. */
export const returnsOf = ({ stores }: Cardea, clock: Pick<Clock, 'nowMs'>) =>
  returnTokens(secretRing(stores.secrets).derive(keyLabels.returnAddress), clock)

/** The token in the address of the login page; fails the test when the answer does not lead there. */
export const returnTokenIn = (headers: Headers): string => {
  const token = /^\/login\?return=([\w-]+)$/.exec(headers.get('location') ?? '')?.[1]
  if (token === undefined) throw new Error(`no way to the login page: ${headers.get('location')}`)
  return token
}
