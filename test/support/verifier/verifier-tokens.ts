import { randomBytes } from 'node:crypto'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import { mintAccessToken } from '../../../src/tokens/index.ts'
import type { Cardea, TestAccount } from '../service/cardea.ts'
import { newServiceClient } from '../service/service-client.ts'
import type { Opening } from './verifier-child.ts'

export type TestToken = { readonly token: string; readonly jti: string; readonly sid: string }

/** What a verifier of this Cardea needs; `endpoint` is the instance that it follows, or whatever stands before it. */
export const openingFor = async (
  cardea: Pick<Cardea, 'config' | 'instances'>,
  endpoint = cardea.instances[0]?.address ?? '',
): Promise<Opening> => {
  const { clientId, clientSecret } = await newServiceClient(cardea)
  return {
    issuer: cardea.config.issuer,
    endpoint,
    client: { id: clientId, secret: clientSecret },
  }
}

const newTestId = (): string => randomBytes(16).toString('base64url')

/**
 * Good access tokens by the hundred: as the service signs them after a login, each with a session of its own that is in no database.
 * `ageMs` old ones were signed that long ago.
 */
export const mintTokens = async (
  cardea: Cardea,
  count: number,
  ageMs = 0,
): Promise<TestToken[]> => {
  const [first] = cardea.instances
  if (!first) throw new Error('no instance')
  const { config, keys, machine } = first.core
  const account = await cardea.createAccount()
  const { accessToken } = await cardea.client.logIn(account)
  const { aep } = decodeJwt<{ aep: [number, number, number] }>(accessToken)
  const mint = mintAccessToken({
    signer: keys.signer,
    issuer: config.issuer,
    accessTokenSeconds: config.accessTokenSeconds,
    ...machine,
  })
  const authenticatedAtMs = machine.clock.nowMs() - ageMs
  return Array.from({ length: count }, () => {
    const sid = newTestId()
    const { token, tokenId: jti } = mint({
      subjectId: account.id,
      sessionId: sid,
      clientId: 'first-party',
      audience: config.issuer,
      scope: '',
      roles: [],
      authenticatedAtMs,
      amr: ['pwd'],
      acr: 'aal1',
      epochs: aep,
      factsReadAtMs: authenticatedAtMs,
    })
    return { token, jti, sid }
  })
}

/** A person with an access token, and what it is revoked by. */
export const logInAt = async (cardea: Cardea, known?: TestAccount) => {
  const account = known ?? (await cardea.createAccount())
  const { accessToken: token } = await cardea.client.logIn(account)
  const { jti, sid, sub } = decodeJwt<{ jti: string; sid: string; sub: string }>(token)
  return { account, token, jti, sid, sub, kid: decodeProtectedHeader(token).kid }
}
