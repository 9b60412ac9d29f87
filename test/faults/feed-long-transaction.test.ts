import { expect, inject, onTestFinished, test, vi } from 'vitest'
import { decodeFeedJson } from '../../packages/verifier/src/wire.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { writeElsewhere } from '../support/servers/write-elsewhere.ts'
import { startCardea } from '../support/service/cardea.ts'
import { basicHeader } from '../support/service/service-client.ts'
import { startVerifier } from '../support/verifier/verifier-process.ts'
import { mintTokens, openingFor } from '../support/verifier/verifier-tokens.ts'

const batches = 5
const rowsInBatch = 5_000

test('R76: a write transaction in another database, open all the while, and 25,000 revocations: followers get pages, no snapshot, and never go STALE', async () => {
  const cardea = await startCardea()
  onTestFinished(cardea.stop)
  const elsewhere = await writeElsewhere(inject('postgresOwnerUrl'))
  onTestFinished(elsewhere.end)
  const opening = await openingFor(cardea)
  const verifier = await startVerifier(opening)
  onTestFinished(verifier.stop)
  await verifier.call('ready')
  const [{ token, jti } = { token: '', jti: '' }] = await mintTokens(cardea, 1)

  const { id, secret } = opening.client
  const ask = async (path: string) => {
    const headers = { authorization: basicHeader(id, secret) }
    const response = await cardea.client.get(`/revocations${path}`, { headers })
    expect(response.status, response.text).toBe(200)
    return decodeFeedJson(response.text)
  }
  let { cursor } = await ask('/snapshot')
  const revokeBatch = (batch: number) =>
    sqlAs(cardea.stores.databaseUrl)(
      `INSERT INTO revocations (kind, key, not_after, actor, reason, created_at)
       SELECT 'sid', translate(encode(decode(lpad(to_hex(n), 32, '0'), 'hex'), 'base64'), '+/=', '-_'),
         now() + interval '970 s', 'somebody', 'their own', now() FROM generate_series($1::int, $2::int) n`,
      [batch * rowsInBatch, (batch + 1) * rowsInBatch - 1],
    )
  const { revokedBy } = cardea.instances[0]!.core.revocations.replica
  for (let batch = 0; batch < batches; batch += 1) {
    await revokeBatch(batch)
    const page = await ask(`?cursor=${cursor}`)
    expect(page.entries).toHaveLength(rowsInBatch)
    cursor = page.cursor
    const [first] = [...page.entries]
    const facts = { sub: '', sid: first?.key ?? '', jti: '', kid: '', aep: [9e12, 9, 9] as const }
    await vi.waitUntil(() => revokedBy(facts) === 'sid', { interval: 5 })
  }
  expect((await ask(`?cursor=${cursor}`)).entries).toHaveLength(0)

  await sqlAs(cardea.stores.databaseUrl)(
    `INSERT INTO revocations (kind, key, not_after, actor, reason, created_at)
     VALUES ('jti', $1, now() + interval '970 s', 'somebody', 'their own', now())`,
    [jti],
  )
  const isRefused = async () => (await verifier.verdict(token)) === 'token_revoked'
  await vi.waitUntil(isRefused, { interval: 10 })
  const history = await verifier.call('history')
  expect(history).toMatchObject({ snapshots: ['first'], errors: 0 })
  expect(history.states).not.toContain('STALE')
})
