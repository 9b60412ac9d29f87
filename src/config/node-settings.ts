import { DEFAULT_MIN_VERSION } from 'node:tls'
import type { Config } from './rules.ts'
import type { SettingProblem } from './setting.ts'

/**
 * Gives libuv's pool a thread for each parallel password hash and one more for everything else: DNS, files, token checks. With more
 * threads, hashes would also run on the core of the event loop (docs/decisions/0025-a-thread-for-each-hash-and-one-more.md). Call it before anything uses the pool, because libuv
 * reads the variable only once, on first use (https://docs.libuv.org/en/v1.x/threadpool.html). An existing value is kept.
 */
export const sizeThreadPool = (
  { hashConcurrency }: Pick<Config, 'hashConcurrency'>,
  environment = process.env,
): void => {
  environment['UV_THREADPOOL_SIZE'] ??= String(hashConcurrency + 1)
}

/**
 * Node switches that would silently disable what `sslmode=verify-full` and `rediss` guarantee. Refused in production even with
 * ALLOW_PLAINTEXT_STORES, because they weaken every connection of the process, not only those to the stores.
 */
export const nodeTlsProblems = (
  rejectUnauthorized: string | undefined,
  minTlsVersion: string = DEFAULT_MIN_VERSION,
): SettingProblem[] => {
  const problems: SettingProblem[] = []
  if (rejectUnauthorized === '0') {
    problems.push({
      name: 'NODE_TLS_REJECT_UNAUTHORIZED',
      message: 'must not be 0 in production: no certificate would be checked',
    })
  }
  if (minTlsVersion === 'TLSv1' || minTlsVersion === 'TLSv1.1') {
    problems.push({
      name: 'NODE_OPTIONS',
      message: 'or the command line lowers TLS below version 1.2: remove --tls-min-v1.0 or -v1.1',
    })
  }
  return problems
}
