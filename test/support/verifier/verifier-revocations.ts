import { expect, vi } from 'vitest'
import type { Client } from '../service/client.ts'
import type { VerifierProcess } from './verifier-process.ts'

/** What the service promises of a revocation: on its wall clock, milliseconds. */
export type Promised = { readonly committedAtMs: number; readonly effectiveByMs: number }

export const revokeAt = async (
  client: Client,
  operator: string,
  body: object,
): Promise<Promised> => {
  const answer = await client.post('/admin/revoke', { token: operator, body })
  expect(answer.status, answer.text).toBe(200)
  return {
    committedAtMs: Date.parse(answer.body.committed_at),
    effectiveByMs: Date.parse(answer.body.effective_by),
  }
}

/**
 * R73, of the first tokens that the process watches: each was accepted no longer than promised, is refused as revoked, and was not
 * accepted again after that.
 */
export const expectKeptPromises = async (
  { watched }: VerifierProcess,
  promises: readonly Promised[],
): Promise<void> => {
  const ofRevoked = async () => (await watched()).slice(0, promises.length)
  const areRefused = async () =>
    (await ofRevoked()).every(({ refusedWith }) => refusedWith === 'token_revoked')
  await vi.waitUntil(areRefused, { interval: 25 })
  const seen = await ofRevoked()
  expect(seen).toHaveLength(promises.length)
  for (const [place, { effectiveByMs }] of promises.entries()) {
    expect(seen[place]?.lastAcceptedAtMs).toBeLessThan(effectiveByMs)
    expect(seen[place]).toMatchObject({ revived: 0, acceptedInDoubt: 0 })
  }
}
