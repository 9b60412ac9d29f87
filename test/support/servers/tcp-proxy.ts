import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

/**
 * What becomes of bytes from the server: they go on, they are lost, they are lost and the connection with them, all or the rest, or others
 * go on in their place.
 */
export type Fate =
  | 'pass'
  | 'lose'
  | 'cut'
  | { readonly cutAfterBytes: number }
  | { readonly passInstead: Buffer }

/** Sees the bytes of one connection. */
export type Observer = {
  readonly onClientBytes?: (bytes: Buffer) => void
  readonly onServerBytes?: (bytes: Buffer) => Fate
}

export type TcpProxy = {
  readonly port: number
  /** The same URL, but through the proxy. */
  readonly through: (url: string) => string
  /** From now on bytes arrive this much later. What its sender no longer waits for is dropped. */
  readonly slowDown: (delays: { toServerMs?: number; toClientMs?: number }) => void
  /** New connections go to another server; open ones stay where they are. */
  readonly pointTo: (url: string) => void
  /** Breaks every connection; new ones are taken. */
  readonly cutAll: () => void
  readonly stop: () => Promise<void>
}

type Direction = { readonly from: Socket; readonly to: Socket; readonly delayMs: () => number }

const relay = ({ from, to, delayMs }: Direction, fateOf: (bytes: Buffer) => Fate): void => {
  const cut = () => {
    from.destroy()
    to.destroy()
  }
  from.on('data', (bytes: Buffer) => {
    const fate = fateOf(bytes)
    if (fate === 'cut') cut()
    if (fate === 'cut' || fate === 'lose') return
    if (fate !== 'pass' && 'cutAfterBytes' in fate) {
      to.end(bytes.subarray(0, fate.cutAfterBytes), cut)
      return
    }
    const passed = fate === 'pass' ? bytes : fate.passInstead
    const forward = () => {
      if (!to.destroyed) to.write(passed)
    }
    if (delayMs() === 0) forward()
    else setTimeout(forward, delayMs())
  })
  from.on('error', cut)
  from.on('close', cut)
}

/**
 * A proxy before a store of the test, on the loopback, that can lose, delay and observe what passes. It takes a free port unless it is
 * to take that of one that was stopped.
 */
export const startTcpProxy = async (
  target: string,
  observe: () => Observer = () => ({}),
  wantedPort = 0,
): Promise<TcpProxy> => {
  let { hostname, port: targetPort } = new URL(target)
  const sockets = new Set<Socket>()
  let delays = { toServerMs: 0, toClientMs: 0 }
  const server = createServer((client) => {
    const upstream = connect(Number(targetPort), hostname)
    const observer = observe()
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true)
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
    }
    relay({ from: client, to: upstream, delayMs: () => delays.toServerMs }, (bytes) => {
      observer.onClientBytes?.(bytes)
      return 'pass'
    })
    relay({ from: upstream, to: client, delayMs: () => delays.toClientMs }, (bytes) =>
      observer.onServerBytes ? observer.onServerBytes(bytes) : 'pass',
    )
  }).listen(wantedPort, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('no port to be had')
  const { port } = address
  const cutAll = () => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    port,
    through: (url) => {
      const changed = new URL(url)
      changed.hostname = '127.0.0.1'
      changed.port = String(port)
      return changed.href
    },
    slowDown: ({ toServerMs = 0, toClientMs = 0 }) => {
      delays = { toServerMs, toClientMs }
    },
    pointTo: (url) => {
      ;({ hostname, port: targetPort } = new URL(url))
    },
    cutAll,
    stop: async () => {
      server.close()
      cutAll()
      await once(server, 'close')
    },
  }
}
