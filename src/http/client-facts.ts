import { BlockList, isIP } from 'node:net'
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import ipaddr from 'ipaddr.js'
import type { CallerPresence } from '../lib/caller-presence.ts'
import { systemClock } from '../lib/machine.ts'
import type { Log } from './log.ts'

/** Who is calling, as far as HTTP tells: for limits, for the audit trail and for the list of sessions. */
export type ClientFacts = Required<CallerPresence> & {
  /** The address the last trusted proxy saw, else the peer's; IPv4 is never written as IPv6. */
  readonly address: string
  /** At most 256 characters, control characters escaped. The client's own words: shown, never decided on. */
  readonly userAgent: string | undefined
  readonly requestId: string
}

const maxUserAgentLength = 256

/** Control characters could forge lines in a log or steer the terminal of whoever reads it. */
const escapeControls = (text: string): string =>
  text.replace(
    /\p{Cc}/gu,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
  )

/**
 * A proxy that passes `X-Forwarded-For` on unchecked can hand us any text; limits and the audit trail then take the
 * proxy's own address.
 */
const addressOf = (request: FastifyRequest): string => {
  // Read once: each reading parses the whole of `X-Forwarded-For`.
  const { ip } = request
  const peer = request.socket.remoteAddress ?? ''
  const named = plainAddress(ip)
  if (named === undefined || ip === peer) request.server.warnOfProxy?.(request, ip)
  const address = named ?? peer
  return ipaddr.isValid(address) ? ipaddr.process(address).toString() : address
}

/** Closes that are in the kernel already are read within a turn or two of the event loop; this is many. */
const closeArrivesWithinMs = 20

/**
 * Whether nobody can get the response any more, as far as this process has heard. A client that closed only its sending side counts as
 * gone: Node then ends the other side, too (`httpAllowHalfOpen` is off), so no response reaches it. The sockets of `app.inject` know
 * neither state and are never gone.
 */
const isCallerGone = ({ raw: { socket } }: Pick<FastifyRequest, 'raw'>): boolean =>
  socket.destroyed === true || socket.writable === false

/** The same after a moment, in which a close that happened while the process stood still arrives. */
export const isCallerConnected = async (request: Pick<FastifyRequest, 'raw'>): Promise<boolean> => {
  if (isCallerGone(request)) return false
  await pause(closeArrivesWithinMs)
  await nextTurn()
  return !isCallerGone(request)
}

/** Worked out when they are read: most refreshes never ask, and parsing an address costs as much as the rest of the reading. */
class RequestClient implements ClientFacts {
  readonly #request: FastifyRequest

  constructor(request: FastifyRequest) {
    this.#request = request
  }

  get address(): string {
    return addressOf(this.#request)
  }

  get userAgent(): string | undefined {
    const userAgent = this.#request.headers['user-agent']
    return userAgent && escapeControls(userAgent).slice(0, maxUserAgentLength)
  }

  get requestId(): string {
    return this.#request.id
  }

  get isCallerGone(): () => boolean {
    const isGone = () => isCallerGone(this.#request)
    return isGone
  }

  get waitedMs(): () => number {
    const waitedMs = () => systemClock.monotonicMs() - this.#request.receivedMs
    return waitedMs
  }

  get isCallerConnected(): () => Promise<boolean> {
    const isConnected = () => isCallerConnected(this.#request)
    return isConnected
  }
}

/**
 * A class for the getters' sake: in an object literal they are new functions each time, for which V8 makes a new hidden class that
 * keeps the whole request until the next collection of all memory.
 */
export const clientFacts = (request: FastifyRequest): ClientFacts => new RequestClient(request)

/** As much of a request as tells who sent it. */
type Connected = { readonly socket: { readonly remoteAddress?: string | undefined } }

/** An IPv6 address with a zone, `fe80::1%eth0`. Node takes a zone of any length, and the address is stored with each session. */
const maxAddressLength = 64

const ipv4WithPort = /^([0-9.]{7,15}):[0-9]{1,5}$/
const ipv6InBrackets = /^\[([0-9A-Fa-f:.]{2,45})\](?::[0-9]{1,5})?$/

/**
 * The address in one part of `X-Forwarded-For`. Some proxies write the port of the client behind it (`203.0.113.9:51234`), and an IPv6
 * address in brackets (`[2001:db8::1]:443`). Undefined: there is none.
 */
const plainAddress = (text: string): string | undefined => {
  const address = ipv4WithPort.exec(text)?.[1] ?? ipv6InBrackets.exec(text)?.[1] ?? text
  return isIP(address) === 0 || address.length > maxAddressLength ? undefined : address
}

/** @param ranges CIDRs, as the configuration has checked them */
const addressesIn = (ranges: readonly string[]) => {
  const list = new BlockList()
  for (const range of ranges) {
    const [address, prefix] = ipaddr.parseCIDR(range)
    list.addSubnet(address.toString(), prefix, address.kind())
  }
  return function includesAddress(text = ''): boolean {
    const named = plainAddress(text)
    if (named === undefined) return false
    // IPv4 on an IPv6 socket is still IPv4.
    const address = ipaddr.process(named)
    return list.check(address.toString(), address.kind())
  }
}

/**
 * Whether a request comes directly from one of these proxies, so that what it says about the original request is the proxy's word and
 * not the client's. None: nobody is believed.
 */
export const trustedPeers = (ranges: readonly string[]): ((request: Connected) => boolean) => {
  const isTrusted = addressesIn(ranges)
  return function isTrustedPeer({ socket }) {
    return isTrusted(socket.remoteAddress)
  }
}

export type TrustedPeers = ReturnType<typeof trustedPeers>

/** More proxies than anybody has in a row. The client writes the rest of the header: 15 KB of `::1,` took 14 ms each time it was read. */
const maxProxies = 16

/**
 * For `trustProxy` of Fastify, which asks about the peer (hop 0) and then about `X-Forwarded-For` from its end, until one address is
 * not trusted: that one is the client's.
 */
export const trustedHops = (
  ranges: readonly string[],
): ((address: string, hop: number) => boolean) => {
  const isTrusted = addressesIn(ranges)
  return (address, hop) => hop < maxProxies && isTrusted(address)
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Called where the address of the client turned out to be that of the peer, or `named` is no address. */
    warnOfProxy?: (request: FastifyRequest, named: string) => void
  }
}

const consequence =
  'its own address counts as the client’s: all who come through it share one limit'

const faults = {
  untrusted:
    'a proxy that TRUSTED_PROXIES does not name sends X-Forwarded-Proto; what it says of TLS, of the client and of the page is not believed',
  unreadable: `a trusted proxy sends an X-Forwarded-For without the address of the client; ${consequence}`,
  missing: `a trusted proxy sends X-Forwarded-Proto and no X-Forwarded-For; ${consequence}`,
} as const

/** Not a client from the internet, who may write what it likes. */
const isNear = (peer = ''): boolean =>
  ipaddr.isValid(peer) &&
  ['loopback', 'private', 'uniqueLocal', 'linkLocal'].includes(ipaddr.process(peer).range())

/**
 * A proxy that does not say who the client is looks like one busy client: everybody behind it shares one limit, and the audit trail names
 * the proxy. Each kind of fault is told once, because such a proxy does it at every request.
 */
export const warnOfProxies = (
  app: FastifyInstance,
  { log, trustedProxies }: { readonly log: Log; readonly trustedProxies: readonly string[] },
): void => {
  const isTrusted = trustedPeers(trustedProxies)
  const told = new Set<keyof typeof faults>()

  const faultOf = (request: FastifyRequest, named: string): keyof typeof faults | undefined => {
    const { 'x-forwarded-for': client, 'x-forwarded-proto': protocol } = request.headers
    const peer = request.socket.remoteAddress
    if (!isTrusted(request)) {
      return protocol !== undefined && isNear(peer) ? 'untrusted' : undefined
    }
    if (named !== peer) return 'unreadable'
    // A request that the proxy makes itself, such as a health check, carries neither.
    return client === undefined && protocol !== undefined ? 'missing' : undefined
  }

  app.decorate('warnOfProxy', (request: FastifyRequest, named: string) => {
    const fault = faultOf(request, named)
    if (fault === undefined || told.has(fault)) return
    told.add(fault)
    log.warn({ proxy: request.socket.remoteAddress, request_id: request.id }, faults[fault])
  })
}
