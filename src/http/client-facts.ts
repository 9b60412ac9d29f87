import { isIP } from 'node:net'
import type { FastifyRequest } from 'fastify'
import ipaddr from 'ipaddr.js'
import type { CallerPresence } from '../lib/caller-presence.ts'
import { systemClock } from '../lib/clock.ts'
import { isCallerConnected, isCallerGone } from './caller-connection.ts'

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
  const address = isIP(ip) > 0 ? ip : (request.socket.remoteAddress ?? '')
  return ipaddr.isValid(address) ? ipaddr.process(address).toString() : address
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
    return () => isCallerGone(this.#request)
  }

  get waitedMs(): () => number {
    return () => systemClock.monotonicMs() - this.#request.receivedMs
  }

  get isCallerConnected(): () => Promise<boolean> {
    return () => isCallerConnected(this.#request)
  }
}

/**
 * A class for the getters' sake: in an object literal they are new functions each time, for which V8 makes a new hidden class that
 * keeps the whole request until the next collection of all memory.
 */
export const clientFacts = (request: FastifyRequest): ClientFacts => new RequestClient(request)
