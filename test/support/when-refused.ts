import { expect, vi } from 'vitest'
import type { Client } from './client.ts'

/** S of the design: what was revoked is refused everywhere this long after the answer at the latest, milliseconds. */
const boundMs = 5_000

/**
 * Resolves when this instance refuses the access token; fails when it takes longer than any verifier may. The instance that revoked
 * refuses at once; the others hear of it.
 */
export const whenRefused = (client: Client, token: string): Promise<void> =>
  vi.waitFor(async () => expect((await client.get('/account', { token })).status).toBe(401), {
    timeout: boundMs,
    interval: 5,
  })
