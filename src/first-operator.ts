import type { Core } from './compose/core.ts'
import { AppError } from './lib/app-error.ts'
import { operatorRole } from './sessions/index.ts'

export type FirstOperator = { readonly email: string; readonly password: string }

const email = 'operator@cardea.localhost'

/** 24 characters, or as many as the policy asks for: 3 bytes make 4. */
const madeUpPassword = ({ config, machine }: Core): string => {
  const bytes = Math.ceil((Math.max(24, config.passwordMinLength) * 3) / 4)
  return machine.random(bytes).toString('base64url')
}

const isTaken = (error: unknown): boolean =>
  error instanceof AppError && error.code === 'account_exists'

/**
 * A way in for somebody who has just started the service for the first time: an operator with a made-up password, which nobody but the
 * caller ever sees. Nothing when there is an operator already, or somebody else has that address: another instance, which started at
 * the same moment, tells its caller the password.
 */
export const createFirstOperator = async (core: Core): Promise<FirstOperator | undefined> => {
  const { accounts } = core.stores
  if (await accounts.hasAnyWithRole(operatorRole)) return undefined
  if (await accounts.findByEmail(email)) return undefined
  const password = madeUpPassword(core)
  const actor = { kind: 'system' } as const
  try {
    await core.createAccount({ email, password, roles: [operatorRole], actor })
  } catch (error) {
    if (isTaken(error)) return undefined
    throw error
  }
  return { email, password }
}
