import { once } from 'node:events'
import { createServer } from 'node:net'

/** A port of the loopback that nobody uses at this moment. */
export const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('no port to be had')
  server.close()
  await once(server, 'close')
  return address.port
}
