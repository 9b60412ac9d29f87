import { isIP } from 'node:net'
import { postgresAuditReader } from '../../audit/index.ts'
import type { Core } from '../../core.ts'
import { trustedPeers } from '../../http/client-facts.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

const name = 'address'

/** Longer than any proxy waits for the service. */
const replyWithinMs = 20_000

type Reply = {
  readonly status: number
  /** Undefined when it is not JSON. */
  readonly body: Readonly<Record<string, unknown>>
  readonly requestId: string
}

/** The text that helps people: `fetch failed` does not. */
const reasonOf = (error: unknown): string => {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  return cause instanceof Error ? cause.message : String(cause)
}

const ask = async (url: string, init: RequestInit = {}): Promise<Reply> => {
  const signal = AbortSignal.timeout(replyWithinMs)
  const response = await fetch(url, { redirect: 'manual', signal, ...init })
  const body: unknown = await response.json().catch(() => undefined)
  return {
    status: response.status,
    body: Object(body),
    requestId: response.headers.get('x-request-id') ?? '',
  }
}

/** Credentials of no account: the login opens no session and locks nobody out. */
const tryLogin = ({ machine: { random } }: Core, url: string): Promise<Reply> => {
  const email = `doctor-${random(8).toString('hex')}@cardea.invalid`
  const password = random(24).toString('base64url')
  return ask(`${url}/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email, password }),
  })
}

const passOn =
  'let the proxy forward everything under the host of ISSUER: method, path, Host and body'

const fixes: Readonly<Record<string, string>> = {
  https_required:
    'let the proxy set X-Forwarded-Proto to https, and name the address it comes from in TRUSTED_PROXIES',
  too_many_attempts:
    'wait as long as Retry-After says, or check whether all clients share the limit of the proxy',
}

const checkLogin = ({ status, body }: Reply): Finding => {
  const { code } = body
  if (status === 401 && code === 'invalid_credentials') {
    return ok(
      name,
      'a login with made-up credentials reached the service and was refused, as expected',
    )
  }
  if (typeof code !== 'string') {
    return fail(name, `POST /login gave ${status}, but not from Cardea`, passOn)
  }
  return fail(name, `POST /login gave ${status} ${code}`, fixes[code] ?? passOn)
}

/** Another service may listen there, or another environment of this one. */
const checkKeySet = async (core: Core, url: string): Promise<Finding> => {
  const { status, body } = await ask(`${url}/.well-known/jwks.json`)
  const published = Array.isArray(body['keys']) ? body['keys'].map(({ kid }) => kid) : []
  const active = (await core.keys.list()).find(({ state }) => state === 'active')
  if (active && published.includes(active.kid))
    return ok(name, 'the key set is that of this service')
  return status === 200
    ? fail(
        name,
        'the key set there is that of another service',
        'check the address, and DATABASE_URL',
      )
    : fail(name, `GET /.well-known/jwks.json gave ${status}`, passOn)
}

/** The audit trail shows which address is used for limits. Here it must be that of this machine, as seen from the proxy. */
const checkClientAddress = async (
  { config, database }: Core,
  { requestId }: Reply,
  newestBefore: number,
): Promise<readonly Finding[]> => {
  const entry = await postgresAuditReader(database).findByRequest(requestId, newestBefore)
  const address = entry?.address
  if (address === undefined || isIP(address) === 0) return []
  const isProxy = trustedPeers(config.trustedProxies)({ socket: { remoteAddress: address } })
  const text = `the service took this request for one from ${address}`
  if (!isProxy) return [ok('client-address', text)]
  const fix =
    'let it set X-Forwarded-For to the address of the client (nothing to do if this command runs on that machine)'
  return [warn('client-address', `${text}, which is a proxy: all its clients share one limit`, fix)]
}

/** Calls the service through the public address, like a client. Leaves one refused login in the audit trail. */
export const checkAddress = async (core: Core, url: string): Promise<readonly Finding[]> => {
  const { issuer } = core.config
  const other = new URL(url).origin !== new URL(issuer).origin
  const notIssuer = warn(name, `${url} is not the address in ISSUER, ${issuer}`, 'check both')
  try {
    const newestBefore = await postgresAuditReader(core.database).newestId()
    const keySet = await checkKeySet(core, url)
    const login = await tryLogin(core, url)
    return [
      ...(other ? [notIssuer] : []),
      keySet,
      checkLogin(login),
      ...(await checkClientAddress(core, login, newestBefore)),
    ]
  } catch (error) {
    const fix = 'check the name, the port, the certificate (NODE_EXTRA_CA_CERTS), and the proxy'
    return [fail(name, `${url} cannot be reached: ${reasonOf(error)}`, fix)]
  }
}
