import { createServer, type IncomingMessage, type RequestListener } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { encodeFeedJson } from '../../packages/verifier/src/wire.ts'
import { scratchFolder } from '../support/programs/scratch-folder.ts'
import { listenHttp } from '../support/servers/http-server.ts'
import { selfSigned } from '../support/servers/self-signed.ts'

export type Forger = {
  readonly address: string
  /** `Authorization` of every request that it was sent. */
  readonly heard: readonly string[]
  /** The certificate that its victims would have to trust; none when it speaks in the clear. */
  readonly certificatePath: string | undefined
  readonly stop: () => Promise<void>
}

/** Says that nothing was ever revoked. */
const forgedPage = encodeFeedJson({ feedId: 'forged', cursor: '1', entries: [] })

/** As whoever has taken the service's address would: its public keys, and a list of revocations that is empty. */
const forge =
  (jwks: string, heard: string[]): RequestListener =>
  ({ url, headers }: IncomingMessage, response) => {
    heard.push(headers.authorization ?? '')
    response.setHeader('content-type', 'application/json')
    response.end(url?.includes('jwks') ? jwks : forgedPage)
  }

/** A server that answers as the service does, without being it. */
export const startForger = async (jwks: string, how: 'tls' | 'clear'): Promise<Forger> => {
  const heard: string[] = []
  const folder = await scratchFolder('forger')
  const pair = how === 'tls' ? await selfSigned(folder.path) : undefined
  const listener = forge(jwks, heard)
  const server = await listenHttp(pair ? createTlsServer(pair, listener) : createServer(listener))
  return {
    address: server.address.replace('http', pair ? 'https' : 'http'),
    heard,
    certificatePath: pair?.certificatePath,
    stop: async () => {
      await server.stop()
      await folder.remove()
    },
  }
}
