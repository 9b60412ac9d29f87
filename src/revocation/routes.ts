import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { feedBinaryMediaType } from '../../packages/verifier/src/wire.ts'
import type { RevocationFeed, SharedPage } from './revocation-feed.ts'
import { changesSchema, snapshotSchema } from './schemas.ts'

const access = 'service'

/** The binary form is for those who name it; whoever accepts anything gets JSON. */
const wantsBinary = ({ headers }: FastifyRequest): boolean =>
  (headers.accept ?? '')
    .split(',')
    .some((range) => range.split(';', 1)[0]?.trim().toLowerCase() === feedBinaryMediaType)

const send = async (request: FastifyRequest, reply: FastifyReply, page: SharedPage) => {
  const isBinary = wantsBinary(request)
  const body = await (isBinary ? page.binary() : page.json())
  // Takes the place of the `Vary: Origin` that every answer has.
  reply.header('vary', 'Origin, Accept')
  return reply.type(isBinary ? feedBinaryMediaType : 'application/json; charset=utf-8').send(body)
}

/** Entries hold ids and epochs only: who revoked and why stays in the database. */
export const revocationRoutes =
  ({ feed }: { readonly feed: RevocationFeed }) =>
  (instance: FastifyInstance): void => {
    const app = instance.withTypeProvider<TypeBoxTypeProvider>()

    app.get(
      '/revocations/snapshot',
      { schema: snapshotSchema, config: { access } },
      async (request, reply) => send(request, reply, await feed.snapshot()),
    )

    app.get(
      '/revocations',
      { schema: changesSchema, config: { access } },
      async (request, reply) => {
        const { cursor, wait = '0' } = request.query
        // Whoever hangs up is not read for once more.
        const gone = new AbortController()
        reply.raw.once('close', () => gone.abort())
        return send(request, reply, await feed.changes(cursor, Number(wait), gone.signal))
      },
    )
  }
