import type { Core } from '../../compose/core.ts'
import { type Finding, ok, warn } from './finding.ts'

/** People wait for this at every log-in, and a core is busy with it. */
const slowMs = 500

const fastEngine = '@node-rs/argon2'

/** Hashes one throw-away password under the policy in force. */
export const checkPasswords = async (core: Core): Promise<readonly Finding[]> => {
  const { hasher, hashedBy, machine } = core
  const startMs = machine.clock.monotonicMs()
  await hasher.hash(machine.random(24).toString('base64url'))
  const tookMs = Math.round(machine.clock.monotonicMs() - startMs)
  const text = `argon2id by ${hashedBy} takes ${tookMs} ms a hash`
  if (tookMs > slowMs) return [warn('passwords', text, 'give the service more or faster cores')]
  return hashedBy === fastEngine
    ? [ok('passwords', text)]
    : [warn('passwords', text, `install ${fastEngine}: the same hashes for less than half the CPU`)]
}
