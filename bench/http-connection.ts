import { once } from 'node:events'
import { connect } from 'node:net'

export type Answer = { readonly status: number; readonly head: string; readonly body: string }

export type Connection = {
  /** Sends one request, given as complete text, and reads its response. One at a time. */
  readonly exchange: (request: string) => Promise<Answer>
  readonly close: () => void
}

const lengthHeader = /\r\ncontent-length: (\d+)\r\n/i

/** The response at the start of `text`; nothing while it is incomplete. All responses of our server have a length. */
const readAnswer = (text: string): Answer | undefined => {
  const headEnd = text.indexOf('\r\n\r\n')
  if (headEnd < 0) return undefined
  const head = text.slice(0, headEnd + 2)
  const length = lengthHeader.exec(head)?.[1]
  if (length === undefined) throw new Error(`an answer without content-length: ${head}`)
  const body = text.slice(headEnd + 4)
  if (body.length < Number(length)) return undefined
  return { status: Number(head.slice(9, 12)), head, body }
}

/**
 * One keep-alive connection on a plain socket. It needs about a third of the CPU of `node:http`, so that on a machine with two cores the
 * load does not disturb the measurement. It only parses what our own server writes: one response at a time, always with a length.
 */
export const openConnection = async (address: string): Promise<Connection> => {
  const { hostname, port } = new URL(address)
  const socket = connect({ host: hostname, port: Number(port), noDelay: true })
  await once(socket, 'connect')
  let received = ''
  let waiting:
    | { readonly resolve: (answer: Answer) => void; readonly reject: (error: Error) => void }
    | undefined
  socket.on('data', (chunk) => {
    received = received === '' ? chunk.toString('latin1') : received + chunk.toString('latin1')
    const answer = readAnswer(received)
    if (!answer) return
    received = ''
    waiting?.resolve(answer)
  })
  socket.on('error', (error) => waiting?.reject(error))
  socket.on('close', () => waiting?.reject(new Error('the server closed the connection')))
  return {
    exchange: (request) =>
      new Promise((resolve, reject) => {
        if (socket.destroyed) throw new Error('the server has closed the connection')
        waiting = { resolve, reject }
        socket.write(request, 'latin1')
      }),
    close: () => {
      waiting = undefined
      socket.destroy()
    },
  }
}

/** The text of one request. `body` is ASCII, and JSON unless `mediaType` says otherwise. */
export const requestText = (
  method: string,
  path: string,
  headers: readonly string[] = [],
  body = '',
  mediaType = 'application/json',
): string =>
  [
    `${method} ${path} HTTP/1.1`,
    'host: 127.0.0.1',
    ...(method === 'GET' ? [] : [`content-type: ${mediaType}`, `content-length: ${body.length}`]),
    ...headers,
    '',
    body,
  ].join('\r\n')

/** @throws an Error that shows the response: refused requests are fast and measure nothing. */
export const expectOk = (answer: Answer): void => {
  if (answer.status !== 200) throw new Error(`the server answered ${answer.head}${answer.body}`)
}
