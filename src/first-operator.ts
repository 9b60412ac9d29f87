import type { Core } from './compose.ts'
import { operatorRole } from './sessions/index.ts'

export type FirstOperator = { readonly email: string; readonly password: string }

const email = 'operator@cardea.localhost'

/** 18 bytes make 24 characters. */
const passwordBytes = 18

/**
 * A way in for somebody who has just started the service for the first time: an operator with a made-up password, which nobody but the
 * caller ever sees. Nothing when there is any account already.
 */
export const createFirstOperator = async (core: Core): Promise<FirstOperator | undefined> => {
  const [anyone] = await core.stores.accounts.list({ limit: 1 })
  if (anyone) return undefined
  const password = core.machine.random(passwordBytes).toString('base64url')
  const actor = { kind: 'system' } as const
  await core.createAccount({ email, password, roles: [operatorRole], actor })
  return { email, password }
}
