import { type ReturnRules, returnTokens } from '../../../src/forward-auth/index.ts'
import { keyLabels, secretRing } from '../../../src/keys/index.ts'
import type { Clock } from '../../../src/lib/machine.ts'
import type { Cardea } from './cardea.ts'

/** Without a path of the issuer and without a cookie domain. */
export const plainReturnRules: ReturnRules = {
  basePath: '',
  ownHost: '127.0.0.1',
  cookieDomain: undefined,
  returnHosts: undefined,
}

/** Signed return addresses as this service makes and reads them. */
export const returnsOf = (
  { stores }: Cardea,
  clock: Pick<Clock, 'nowMs'>,
  rules: ReturnRules = plainReturnRules,
) => returnTokens(secretRing(stores.secrets).derive(keyLabels.returnAddress), clock, rules)

/** The token in the address of the login page; fails the test when the answer does not lead there. */
export const returnTokenIn = (headers: Headers): string => {
  const token = /^\/login\?return=([\w-]+)$/.exec(headers.get('location') ?? '')?.[1]
  if (token === undefined) throw new Error(`no way to the login page: ${headers.get('location')}`)
  return token
}
