import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'

/** What the app behind a proxy got, as it came: names in their spelling, several of one kind apart. */
export type Received = {
  readonly method: string
  readonly url: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly bodyBytes: number
  readonly bodySha256: string
}

export type EchoBackend = {
  /** `host:port` */
  readonly address: string
  /** How many requests came through since the start. */
  readonly count: () => number
  readonly stop: () => Promise<void>
}

const headerPairs = ({ rawHeaders }: IncomingMessage): [string, string][] =>
  rawHeaders.flatMap((name, place) =>
    place % 2 === 0 ? [[name, rawHeaders[place + 1] ?? ''] satisfies [string, string]] : [],
  )

const received = async (request: IncomingMessage): Promise<Received> => {
  const hash = createHash('sha256')
  let bodyBytes = 0
  for await (const chunk of request) {
    hash.update(chunk)
    bodyBytes += chunk.length
  }
  return {
    method: request.method ?? '',
    url: request.url ?? '',
    headers: headerPairs(request),
    bodyBytes,
    bodySha256: hash.digest('hex'),
  }
}

/** The answer to a key (RFC 6455 section 4.2.2): HAProxy looks whether it is there. */
const acceptOf = (key: string): string =>
  createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')

/** Says whatever it hears after the switch, without the frames of a WebSocket. */
const upgrade = (request: IncomingMessage, socket: Duplex): void => {
  const account = request.headers['x-auth-account'] ?? 'nobody'
  const accept = acceptOf(request.headers['sec-websocket-key'] ?? '')
  socket.on('error', () => socket.destroy())
  socket.write(
    [
      'HTTP/1.1 101 Switching Protocols',
      'Connection: Upgrade',
      'Upgrade: websocket',
      `Sec-WebSocket-Accept: ${accept}`,
      '',
      `hello ${account}\n`,
    ].join('\r\n'),
  )
  socket.pipe(socket)
}

/** The app behind a proxy: answers 200 with what it received, `/broken` with 500, and switches protocols when asked to. */
export const startEchoBackend = async (): Promise<EchoBackend> => {
  let count = 0
  const server = createServer(async (request, response) => {
    count += 1
    const body = JSON.stringify(await received(request))
    const status = request.url === '/broken' ? 500 : 200
    response.writeHead(status, { 'content-type': 'application/json' }).end(body)
  })
  server.on('upgrade', (request, socket) => {
    count += 1
    upgrade(request, socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('no port to be had')
  return {
    address: `127.0.0.1:${address.port}`,
    count: () => count,
    stop: async () => {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}
