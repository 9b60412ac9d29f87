import { expect, vi } from 'vitest'
import type { Client } from './client.ts'

/**
 * Resolves when this instance refuses the access token. The instance that revoked it refuses at once; the others learn of it. Tests that
 * watch a verifier process prove that they do so within S.
 */
export const whenRefused = (client: Client, token: string): Promise<void> =>
  vi.waitFor(async () => expect((await client.get('/account', { token })).status).toBe(401), {
    interval: 5,
  })
