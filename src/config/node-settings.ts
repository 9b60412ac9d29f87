import { DEFAULT_MIN_VERSION } from 'node:tls'
import type { Config } from './rules.ts'
import type { SettingProblem } from './setting.ts'

/**
 * Gives libuv's pool a thread for each password that may be hashed at once and one for everything else: DNS, files, the checks of
 * tokens. With more, hashes wander over threads that the kernel puts where the event loop runs (decision 25). To be called before
 * anything uses the pool: libuv reads the variable then, once (https://docs.libuv.org/en/v1.x/threadpool.html). What is set already
 * stays.
 */
export const sizeThreadPool = (
  { hashConcurrency }: Pick<Config, 'hashConcurrency'>,
  environment = process.env,
): void => {
  environment['UV_THREADPOOL_SIZE'] ??= String(hashConcurrency + 1)
}

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
