import { describe, expect, test } from 'vitest'
import { judgeClaims } from '../../packages/verifier/src/tokens/judge-claims.ts'
import { readClaims } from '../../packages/verifier/src/tokens/read-claims.ts'
import { leewaySeconds, longestTokenSeconds } from '../../src/lib/machine.ts'
import { entryLifetimeMs } from '../../src/revocation/index.ts'
import { buildClaims } from '../../src/tokens/mint-access-token.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { startCardea } from '../support/service/cardea.ts'
import { newServiceClient } from '../support/service/service-client.ts'
import { subject } from '../tokens/token-subject.ts'

const issuer = 'https://auth.example.com'
const tokenId = 'AAAAAAAAAAAAAAAAAAAAAA'
const nowMs = Date.UTC(2027, 0, 1)
const tokenSubject = { ...subject(), factsReadAtMs: nowMs }

const claimsOf = (lifetimeSeconds: number) =>
  readClaims(buildClaims(tokenSubject, { issuer, tokenId, lifetimeSeconds }))

describe('the verifier', () => {
  test('takes a token with the longest life there is, and none with a longer one', () => {
    expect(claimsOf(longestTokenSeconds).jti).toBe(tokenId)
    expect(() => claimsOf(longestTokenSeconds + 1)).toThrow('a lifetime that is never given')
  })

  test('takes a token for the leeway of clocks after its end, and no longer', () => {
    const claims = claimsOf(longestTokenSeconds)
    const judgeAfter = (seconds: number) => () =>
      judgeClaims(
        claims,
        { issuer, audiences: [tokenSubject.audience] },
        nowMs + (longestTokenSeconds + seconds) * 1000,
      )
    expect(judgeAfter(leewaySeconds - 1)).not.toThrow()
    expect(judgeAfter(leewaySeconds)).toThrow(expect.objectContaining({ code: 'token_expired' }))
  })
})

test('the triggers of the database keep their entries for as long as the service does', async () => {
  const cardea = await startCardea()
  try {
    const sql = sqlAs(cardea.stores.migrateUrl)
    await cardea.createAccount()
    await newServiceClient(cardea)
    await sql('DELETE FROM accounts')
    await sql('DELETE FROM service_client_secrets')
    await sql('DELETE FROM service_clients')
    const kept =
      await sql(`SELECT reason, extract(epoch FROM not_after - created_at)::integer AS seconds
      FROM revocations ORDER BY reason`)
    const seconds = entryLifetimeMs / 1000
    expect(kept).toEqual([
      { reason: 'account_deleted', seconds },
      { reason: 'client_deleted', seconds },
    ])
  } finally {
    await cardea.stop()
  }
})
