import type { FastifyRequest } from 'fastify'
import type { Actor, RequestFacts } from '../../audit/index.ts'
import { callerOf } from '../../http/access.ts'
import { clientFacts } from '../../http/client-facts.ts'

/** Who acts, on a route of operators, and from where: for the trail. */
export const operatorOf = (request: FastifyRequest): { actor: Actor; client: RequestFacts } => ({
  actor: { kind: 'account', accountId: callerOf(request).accountId },
  client: clientFacts(request),
})
