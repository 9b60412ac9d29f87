import { Redis } from 'ioredis'
import type { ClientCredential } from './children/server.ts'
import { type Connection, expectOk, requestText } from './http-connection.ts'
import type { Verify } from './other-verifiers.ts'
import { idsOf } from './tokens.ts'

/** Verifies, then asks Redis whether the token, its session or its key was revoked. Reading the epochs too would cost more. */
export const askingRedis = async (url: string, verify: Verify) => {
  const redis = new Redis(url)
  await redis.ping()
  const ask: Verify = async (token) => {
    await verify(token)
    const { jti, sid, kid } = idsOf(token)
    const found = await redis.exists(
      `cardea:revoked:jti:${jti}`,
      `cardea:revoked:sid:${sid}`,
      `cardea:revoked:kid:${kid}`,
    )
    if (found !== 0) throw new Error('the token was revoked')
  }
  return {
    ask,
    close: () => {
      redis.disconnect()
    },
  }
}

/** Asks the service about each token, on a separate connection (RFC 7662). */
export const introspecting = (connection: Connection, { id, secret }: ClientCredential): Verify => {
  const credential = Buffer.from(`${id}:${secret}`).toString('base64')
  const headers = [`authorization: Basic ${credential}`]
  const form = 'application/x-www-form-urlencoded'
  return async (token) => {
    const request = requestText('POST', '/oauth/introspect', headers, `token=${token}`, form)
    const answer = await connection.exchange(request)
    expectOk(answer)
    if (!answer.body.startsWith('{"active":true')) throw new Error('the token is not active')
  }
}
