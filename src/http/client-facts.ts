import { BlockList, isIP } from 'node:net'
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import ipaddr from 'ipaddr.js'
import type { CallerPresence } from '../lib/caller-presence.ts'
import { systemClock } from '../lib/machine.ts'
import type { Log } from './log.ts'

/** What HTTP reveals about the client, for limits, the audit trail and the list of sessions. */
export type ClientFacts = Required<CallerPresence> & {
  /** The address that the last trusted proxy saw, or that of the peer. IPv4 is never written as IPv6. */
  readonly address: string
  /** At most 256 characters, with control characters escaped. The client chooses it, so it is displayed but never used in a decision. */
  readonly userAgent: string | undefined
  readonly requestId: string
}

const maxUserAgentLength = 256

/** Control characters could forge log lines or control the terminal of a reader. */
const escapeControls = (text: string): string =>
  text.replace(
    /\p{Cc}/gu,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
  )

/** A proxy that forwards `X-Forwarded-For` unchecked can pass any text. Limits and the audit trail then use the address of the proxy. */
const addressOf = (request: FastifyRequest): string => {
  // Read once: each access to `ip` parses the whole of `X-Forwarded-For`.
  const { ip } = request
  const peer = request.socket.remoteAddress ?? ''
  const named = plainAddress(ip)
  if (named === undefined || ip === peer) request.server.warnOfProxy?.(request, ip)
  const address = named ?? peer
  return ipaddr.isValid(address) ? ipaddr.process(address).toString() : address
}

/** Node reads closes that are already in the kernel within one or two turns of the event loop. This allows many. */
const closeArrivesWithinMs = 20

/**
 * Whether the client can no longer receive the response, as far as this process knows. A client that closed only its sending side has left
 * as well: Node then closes the other side (`httpAllowHalfOpen` is off), so no response reaches it. The sockets of `app.inject` have
 * neither property and always count as connected.
 */
const isCallerGone = ({ raw: { socket } }: Pick<FastifyRequest, 'raw'>): boolean =>
  socket.destroyed === true || socket.writable === false

/** Whether the client is still connected. Waits a moment first, so that a close that happened while the process was stalled can arrive. */
export const isCallerConnected = async (request: Pick<FastifyRequest, 'raw'>): Promise<boolean> => {
  if (isCallerGone(request)) return false
  await pause(closeArrivesWithinMs)
  await nextTurn()
  return !isCallerGone(request)
}

/** Computed on access: most refreshes never read it, and parsing an address costs as much as reading the rest. */
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
 * A class because of the getters. In an object literal they are new functions each time, and V8 then makes a new hidden class that keeps
 * the whole request alive until the next major garbage collection.
 */
export const clientFacts = (request: FastifyRequest): ClientFacts => new RequestClient(request)

/** The part of a request that shows who sent it. */
type Connected = { readonly socket: { readonly remoteAddress?: string | undefined } }

/** An IPv6 address may have a zone, `fe80::1%eth0`. Node accepts a zone of any length, and the address is stored with each session. */
const maxAddressLength = 64

const ipv4WithPort = /^([0-9.]{7,15}):[0-9]{1,5}$/
const ipv6InBrackets = /^\[([0-9A-Fa-f:.]{2,45})\](?::[0-9]{1,5})?$/

/**
 * The address in one part of `X-Forwarded-For`, or undefined. Some proxies append the client's port (`203.0.113.9:51234`) or write an IPv6
 * address in brackets (`[2001:db8::1]:443`).
 */
const plainAddress = (text: string): string | undefined => {
  const address = ipv4WithPort.exec(text)?.[1] ?? ipv6InBrackets.exec(text)?.[1] ?? text
  return isIP(address) === 0 || address.length > maxAddressLength ? undefined : address
}

/** @param ranges CIDRs, already checked by the configuration */
const addressesIn = (ranges: readonly string[]) => {
  const list = new BlockList()
  for (const range of ranges) {
    const [address, prefix] = ipaddr.parseCIDR(range)
    list.addSubnet(address.toString(), prefix, address.kind())
  }
  return function includesAddress(text = ''): boolean {
    const named = plainAddress(text)
    if (named === undefined) return false
    // IPv4 on an IPv6 socket is treated as IPv4.
    const address = ipaddr.process(named)
    return list.check(address.toString(), address.kind())
  }
}

/**
 * Whether a request comes directly from one of these proxies, so its forwarding headers were set by the proxy and not by the client. With
 * an empty list, no peer is trusted.
 */
export const trustedPeers = (ranges: readonly string[]): ((request: Connected) => boolean) => {
  const isTrusted = addressesIn(ranges)
  return function isTrustedPeer({ socket }) {
    return isTrusted(socket.remoteAddress)
  }
}

export type TrustedPeers = ReturnType<typeof trustedPeers>

/** More proxies than a real chain has. The client controls the rest of the header: 15 KB of `::1,` took 14 ms for each access. */
const maxProxies = 16

/**
 * For Fastify's `trustProxy`. It is asked about the peer (hop 0), then about `X-Forwarded-For` from its end, until an address is not
 * trusted. That one is the client's.
 */
export const trustedHops = (
  ranges: readonly string[],
): ((address: string, hop: number) => boolean) => {
  const isTrusted = addressesIn(ranges)
  return (address, hop) => hop < maxProxies && isTrusted(address)
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Called when the address of the client is that of the peer, or when `named` is not an address. */
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

/** Whether the peer is in a private network. A client on the internet could send any header. */
const isNear = (peer = ''): boolean =>
  ipaddr.isValid(peer) &&
  ['loopback', 'private', 'uniqueLocal', 'linkLocal'].includes(ipaddr.process(peer).range())

/**
 * Warns about proxies that do not send the client's address. Without it, everyone behind the proxy shares one limit, and the audit trail
 * names the proxy. Each kind of fault is logged once, because such a proxy repeats it with every request.
 */
export const warnOfProxies = (
  app: FastifyInstance,
  { log, trustedProxies }: { readonly log: Log; readonly trustedProxies: readonly string[] },
): void => {
  const isTrusted = trustedPeers(trustedProxies)
  const reported = new Set<keyof typeof faults>()

  const faultOf = (request: FastifyRequest, named: string): keyof typeof faults | undefined => {
    const { 'x-forwarded-for': client, 'x-forwarded-proto': protocol } = request.headers
    const peer = request.socket.remoteAddress
    if (!isTrusted(request)) {
      return protocol !== undefined && isNear(peer) ? 'untrusted' : undefined
    }
    if (named !== peer) return 'unreadable'
    // Requests of the proxy itself, such as a health check, carry neither header.
    return client === undefined && protocol !== undefined ? 'missing' : undefined
  }

  app.decorate('warnOfProxy', (request: FastifyRequest, named: string) => {
    const fault = faultOf(request, named)
    if (fault === undefined || reported.has(fault)) return
    reported.add(fault)
    log.warn({ proxy: request.socket.remoteAddress, request_id: request.id }, faults[fault])
  })
}
