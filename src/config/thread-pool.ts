import type { Config } from './config.ts'

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
