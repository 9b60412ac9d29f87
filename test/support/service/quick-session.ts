import { keyLabels } from '../../../src/keys/index.ts'
import { systemRandom } from '../../../src/lib/machine.ts'
import {
  type Delivery,
  handleCodec,
  openSession,
  scopeAtLogin,
} from '../../../src/sessions/index.ts'
import type { Cardea } from './cardea.ts'

export type QuickSession = { readonly sessionId: string; readonly refreshToken: string }

export type QuickSessionOptions = {
  readonly delivery?: Delivery
  readonly roles?: readonly string[]
}

/**
 * Logs in as a right password would, but without one to be checked: for tests that need sessions by the hundred. The token of an
 * operator comes with the next refresh.
 */
export const quickSession = async (
  cardea: Cardea,
  accountId: string,
  { delivery = 'cookie', roles = [] }: QuickSessionOptions = {},
): Promise<QuickSession> => {
  const [instance] = cardea.instances
  if (!instance) throw new Error('no instance')
  const { config, inTransaction, machine, ring } = instance.core
  const { issuer } = config
  const open = openSession(systemRandom, {
    idleSeconds: config.sessionIdleSeconds,
    absoluteSeconds: config.sessionAbsoluteSeconds,
    browserSeconds: config.browserSessionSeconds,
    perAccount: config.sessionsPerAccount,
  })
  const opened = await inTransaction(async (stores) => {
    await stores.accounts.lock(accountId)
    return open(stores, {
      accountId,
      kind: 'token',
      delivery,
      clientId: 'first-party',
      audience: issuer,
      namedAudiences: [],
      scope: scopeAtLogin(roles, [issuer], issuer),
      persists: true,
      amr: ['pwd'],
      acr: 'aal1',
      client: { address: '127.0.0.1', userAgent: 'a test', requestId: 'none' },
      nowMs: machine.clock.nowMs(),
    })
  })
  if (!opened) throw new Error('the account is not active')
  const { facts, secret } = opened
  const codec = handleCodec(ring.derive(keyLabels.refreshHandle))
  const { sessionId, generation } = facts
  return { sessionId, refreshToken: codec.write({ sessionId, generation, secret }) }
}
