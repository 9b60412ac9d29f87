import { DEFAULT_MIN_VERSION } from 'node:tls'
import type { SettingProblem } from './config-error.ts'

/**
 * Switches of Node itself that would quietly undo what `sslmode=verify-full` and `rediss` promise. Refused in production
 * even with ALLOW_PLAINTEXT_STORES: they weaken every connection of the process, not only those to the stores.
 */
export const nodeTlsProblems = (
  rejectUnauthorized: string | undefined,
  leastTlsVersion: string = DEFAULT_MIN_VERSION,
): SettingProblem[] => {
  const problems: SettingProblem[] = []
  if (rejectUnauthorized === '0') {
    problems.push({
      name: 'NODE_TLS_REJECT_UNAUTHORIZED',
      message: 'must not be 0 in production: no certificate would be checked',
    })
  }
  if (leastTlsVersion === 'TLSv1' || leastTlsVersion === 'TLSv1.1') {
    problems.push({
      name: 'NODE_OPTIONS',
      message: 'or the command line lowers TLS below version 1.2: remove --tls-min-v1.0 or -v1.1',
    })
  }
  return problems
}
