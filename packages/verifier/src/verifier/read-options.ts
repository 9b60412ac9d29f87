import { randomInt } from 'node:crypto'
import type { Clock } from '../clock.ts'
import type { ClientCredential } from '../http/basic-auth.ts'
import { refuseUnknown } from '../known-members.ts'
import { systemClock } from '../system-clock.ts'
import { type StalePolicy, type VerifierOptions, verifierOptionNames } from './options.ts'
import { readSealedKeys } from './read-sealed-keys.ts'

/** The checked options with their defaults. */
export type Settings = {
  readonly issuer: string
  readonly audiences: readonly string[]
  /** Undefined when revocations are not followed. */
  readonly client: ClientCredential | undefined
  /** Without a slash at the end. */
  readonly endpoint: string
  readonly policy: StalePolicy
  /** 32 bytes each. Undefined when sealed tokens are not used. */
  readonly sealedKeys: readonly Buffer[] | undefined
  readonly maxCachedTokens: number
  readonly introspectionTimeoutMs: number
  readonly clock: Clock
  readonly fetch: typeof globalThis.fetch
  readonly fraction: () => number
}

/** After this time every token that was issued while the verifier was fresh has expired. */
const maximumBoundedSeconds = 900

/** @throws {TypeError} for an unknown policy: a misspelt one must not be read as a lenient one */
export const checkPolicy = (policy: StalePolicy): void => {
  if (policy === 'deny' || policy === 'introspect' || policy === 'accept-until-exp') return
  const seconds = typeof policy === 'object' && policy !== null ? policy.bounded : undefined
  if (typeof seconds === 'number' && seconds > 0 && seconds <= maximumBoundedSeconds) return
  throw new TypeError(
    `policy must be 'deny', 'introspect', 'accept-until-exp' or { bounded: seconds up to ${maximumBoundedSeconds} }`,
  )
}

const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''

/** Bytes to these never leave the machine, so they cannot be read or changed in transit. */
const isLoopback = (hostname: string): boolean =>
  hostname === 'localhost' || hostname === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(hostname)

const parseUrl = (text: string, name: string): URL => {
  try {
    return new URL(text)
  } catch {
    throw new TypeError(`${name} must be a URL`)
  }
}

const withoutEndSlashes = (text: string): string => {
  let end = text.length
  while (text[end - 1] === '/') end -= 1
  return text.slice(0, end)
}

/** The base address of requests. */
const readEndpoint = (text: string, name: string, allowInsecureHttp: boolean): string => {
  const url = parseUrl(text, name)
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw new TypeError(`${name} must have no user, query or fragment`)
  }
  const isAllowed =
    url.protocol === 'https:' ||
    (url.protocol === 'http:' && (allowInsecureHttp || isLoopback(url.hostname)))
  if (!isAllowed) {
    throw new TypeError(`${name} must be https: over http: keys can be forged and secrets be read`)
  }
  return withoutEndSlashes(url.href)
}

const readAudiences = (audience: string | readonly string[]): readonly string[] => {
  const audiences = typeof audience === 'string' ? [audience] : audience
  // Without one, tokens for any service would be accepted.
  if (!Array.isArray(audiences) || audiences.length === 0 || !audiences.every(isText)) {
    throw new TypeError('audience must be a text, or a list of at least one')
  }
  return [...audiences]
}

/** Undefined means that revocations are disabled. That must be explicit and never the result of a forgotten setting. */
const readClient = (options: VerifierOptions): ClientCredential | undefined => {
  const { client, revocations = 'follow' } = options
  if (revocations !== 'follow' && revocations !== 'off') {
    throw new TypeError("revocations must be 'follow' or 'off'")
  }
  if (revocations === 'off') return undefined
  if (client === undefined) {
    throw new TypeError(
      "client is needed to follow revocations (make one with `cardea client create`); revocations: 'off' does without",
    )
  }
  refuseUnknown('client', client, { id: true, secret: true })
  if (!isText(client.id) || !isText(client.secret)) {
    throw new TypeError('client must have an id and a secret')
  }
  return { id: client.id, secret: client.secret }
}

const readWhole = (value: number, name: string, least: number): number => {
  if (!Number.isSafeInteger(value) || value < least) {
    throw new TypeError(`${name} must be a whole number, at least ${least}`)
  }
  return value
}

/** @throws {TypeError} at once for mistakes, so that they show when the service starts and not at its first request */
export const readOptions = (options: VerifierOptions): Settings => {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError('createVerifier needs an object of options')
  }
  refuseUnknown('createVerifier', options, verifierOptionNames)
  const { issuer, policy = 'deny', allowInsecureHttp = false } = options
  if (!isText(issuer)) throw new TypeError('issuer must be a text')
  // It is compared with `iss` exactly, and Cardea's issuer never ends with a slash: every token would be refused.
  if (issuer.endsWith('/')) throw new TypeError('issuer must not end with a slash')
  checkPolicy(policy)
  return {
    issuer,
    audiences: readAudiences(options.audience),
    client: readClient(options),
    endpoint:
      options.endpoint === undefined
        ? readEndpoint(issuer, 'issuer', allowInsecureHttp)
        : readEndpoint(options.endpoint, 'endpoint', allowInsecureHttp),
    policy,
    sealedKeys: readSealedKeys(options),
    maxCachedTokens: readWhole(options.maxCachedTokens ?? 10_000, 'maxCachedTokens', 0),
    introspectionTimeoutMs: readWhole(
      options.introspectionTimeoutMs ?? 2000,
      'introspectionTimeoutMs',
      1,
    ),
    clock: options.clock ?? systemClock,
    // Read at each call, so that a fetch that is replaced later (by instrumentation) is used.
    fetch: options.fetch ?? ((input, init) => globalThis.fetch(input, init)),
    fraction: options.fraction ?? (() => randomInt(2 ** 32) / 2 ** 32),
  }
}
