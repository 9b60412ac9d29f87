import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { Server as TlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'

export type HttpServer = {
  readonly port: number
  readonly address: string
  /** Breaks connections that are open. */
  readonly stop: () => Promise<void>
}

/** A server of a test, on a free port of the loopback. */
export const listenHttp = async (server: Server | TlsServer): Promise<HttpServer> => {
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  return {
    port,
    address: `http://127.0.0.1:${port}`,
    stop: async () => {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

export const serveHttp = (listener: RequestListener): Promise<HttpServer> =>
  listenHttp(createServer(listener))
