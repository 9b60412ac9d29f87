import type { Core } from './compose/core.ts'
import { operatorRole } from './sessions/index.ts'

export type FirstOperator = { readonly email: string; readonly password: string }

const email = 'operator@cardea.localhost'

/** 18 bytes make 24 characters. */
const passwordBytes = 18

/**
 * A way in for somebody who has just started the service for the first time: an operator with a made-up password, which nobody but the
 * caller ever sees. Nothing when there is an operator already, or somebody else has that address.
 */
export const createFirstOperator = async (core: Core): Promise<FirstOperator | undefined> => {
  const { accounts } = core.stores
  if (await accounts.hasAnyWithRole(operatorRole)) return undefined
  if (await accounts.findByEmail(email)) return undefined
  const password = core.machine.random(passwordBytes).toString('base64url')
  const actor = { kind: 'system' } as const
  await core.createAccount({ email, password, roles: [operatorRole], actor })
  return { email, password }
}
