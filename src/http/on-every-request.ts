import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'

/**
 * Adds something that is done with every request before its body is read; to refuse the request it throws. Not an async hook: a dozen
 * promises a request would cost more than what these do.
 */
export const onEveryRequest = (
  app: FastifyInstance,
  act: (request: FastifyRequest, reply: FastifyReply) => void,
): void => {
  app.addHook('onRequest', (request, reply, done) => {
    act(request, reply)
    done()
  })
}
