import { basicAuth, type ClientCredential } from '../http/basic-auth.ts'
import {
  type HttpClient,
  type HttpResponse,
  mediaTypeOf,
  RequestFailed,
  textOf,
} from '../http/http-client.ts'

type Dependencies = {
  readonly http: HttpClient
  /** The address of Cardea, without a slash at the end. */
  readonly endpoint: string
  readonly client: ClientCredential
  readonly timeoutMs: number
}

/** Whether Cardea reports this token as active. Rejects without a definite response; never guesses. */
export type Introspect = (token: string, jti: string) => Promise<boolean>

/**
 * The maximum number of parallel requests. A service that lost its feed must not send all its traffic to an issuer that is just recovering.
 */
const maximumUnderWay = 64

const maxBytes = 64 * 1024

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null

const parse = (json: string): unknown => {
  try {
    return JSON.parse(json)
  } catch {
    throw new RequestFailed('introspection did not respond with JSON')
  }
}

/** Anything except a clear yes or no about this token is not accepted. */
const verdictOf = (response: HttpResponse, jti: string): boolean => {
  if (response.status !== 200) throw new RequestFailed(`introspection responded ${response.status}`)
  if (mediaTypeOf(response) !== 'application/json') {
    throw new RequestFailed('introspection did not respond with JSON')
  }
  const body = parse(textOf(response))
  if (!isRecord(body) || typeof body['active'] !== 'boolean') {
    throw new RequestFailed('introspection responded without a verdict')
  }
  // A response about another token, for example from a cache in between.
  if (body['active'] && body['jti'] !== undefined && body['jti'] !== jti) {
    throw new RequestFailed('introspection responded about another token')
  }
  return body['active']
}

/** Calls `POST /oauth/introspect` (RFC 7662), once for all parallel calls with the same token. */
export const createIntrospection = (deps: Dependencies): Introspect => {
  const underWay = new Map<string, Promise<boolean>>()
  const headers = {
    authorization: basicAuth(deps.client),
    accept: 'application/json',
    'content-type': 'application/x-www-form-urlencoded',
  }

  const ask = async (token: string, jti: string): Promise<boolean> => {
    const response = await deps.http({
      method: 'POST',
      url: `${deps.endpoint}/oauth/introspect`,
      headers,
      // In the body, never in the address, which ends up in logs.
      body: new URLSearchParams({ token, token_type_hint: 'access_token' }).toString(),
      timeoutMs: deps.timeoutMs,
      maxBytes,
    })
    return verdictOf(response, jti)
  }

  return async (token, jti) => {
    const running = underWay.get(token)
    if (running !== undefined) return running
    if (underWay.size >= maximumUnderWay) throw new RequestFailed('too many introspections at once')
    const asking = ask(token, jti).finally(() => underWay.delete(token))
    underWay.set(token, asking)
    return asking
  }
}
