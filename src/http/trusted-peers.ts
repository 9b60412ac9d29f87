import { BlockList, isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

/** As much of a request as tells who sent it. */
type Connected = { readonly socket: { readonly remoteAddress?: string | undefined } }

/** @param ranges CIDRs, as the configuration has checked them */
const addressesIn = (ranges: readonly string[]) => {
  const list = new BlockList()
  for (const range of ranges) {
    const [address, prefix] = ipaddr.parseCIDR(range)
    list.addSubnet(address.toString(), prefix, address.kind())
  }
  return (text = ''): boolean => {
    if (isIP(text) === 0) return false
    // IPv4 on an IPv6 socket is still IPv4.
    const address = ipaddr.process(text)
    return list.check(address.toString(), address.kind())
  }
}

/**
 * Whether a request comes directly from one of these proxies, so that what it says about the original request is the proxy's word and
 * not the client's. None: nobody is believed.
 */
export const trustedPeers = (ranges: readonly string[]): ((request: Connected) => boolean) => {
  const isTrusted = addressesIn(ranges)
  return ({ socket }) => isTrusted(socket.remoteAddress)
}

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
