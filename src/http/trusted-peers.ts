import { BlockList, isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

/** As much of a request as tells who sent it. */
type Connected = { readonly socket: { readonly remoteAddress?: string | undefined } }

/**
 * Whether a request comes directly from one of these proxies, so that what it says about the original request is the proxy's word and
 * not the client's. None: nobody is believed.
 * @param ranges CIDRs, as the configuration has checked them
 */
export const trustedPeers = (ranges: readonly string[]): ((request: Connected) => boolean) => {
  const list = new BlockList()
  for (const range of ranges) {
    const [address, prefix] = ipaddr.parseCIDR(range)
    list.addSubnet(address.toString(), prefix, address.kind())
  }
  return ({ socket }) => {
    const peer = socket.remoteAddress ?? ''
    if (isIP(peer) === 0) return false
    // IPv4 on an IPv6 socket is still IPv4.
    const address = ipaddr.process(peer)
    return list.check(address.toString(), address.kind())
  }
}
