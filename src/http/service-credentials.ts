import type { FastifyReply, FastifyRequest } from 'fastify'
import type { AppError } from '../lib/app-error.ts'
import { type BasicCredentials, basicCredentials, isBasic } from './basic-credentials.ts'
import { httpErrors } from './errors.ts'

/** Whether these are the credentials of a service client that may call; throws an `AppError` of status 503 when it cannot know. */
export type AuthenticateService = (credentials: BasicCredentials) => Promise<boolean>

/** RFC 7617 section 2.1: how to encode what is not ASCII; ours is. */
const basicChallenge = 'Basic realm="cardea", charset="UTF-8"'

const refusal = (reply: FastifyReply, code: 'missing_credentials' | 'invalid_client'): AppError => {
  reply.header('www-authenticate', basicChallenge)
  return httpErrors.error(code)
}

/** One answer for every defect: whether a client exists, is disabled, or has another secret is no business of who cannot prove it. */
export const refusedClient = (reply: FastifyReply): AppError => refusal(reply, 'invalid_client')

export const missingClient = (reply: FastifyReply): AppError =>
  refusal(reply, 'missing_credentials')

/**
 * What a service client says of itself, unchecked, on a route that public clients call as well: nothing when there is no
 * `Authorization` header at all.
 * @throws invalid_client for a header that is anything else than well-formed Basic (RFC 6749 section 5.2)
 */
export const presentedCredentials = (
  request: FastifyRequest,
  reply: FastifyReply,
): BasicCredentials | undefined => {
  const header = request.headers.authorization
  if (header === undefined) return undefined
  const credentials = basicCredentials(header)
  if (credentials === undefined) throw refusedClient(reply)
  return credentials
}

/**
 * The same, checked.
 * @throws invalid_client
 */
export const presentedClient = async (
  request: FastifyRequest,
  reply: FastifyReply,
  authenticate: AuthenticateService,
): Promise<string | undefined> => {
  const credentials = presentedCredentials(request, reply)
  if (credentials === undefined) return undefined
  if (!(await authenticate(credentials))) throw refusedClient(reply)
  return credentials.clientId
}

/** @throws missing_credentials, invalid_client */
export const demandService = async (
  request: FastifyRequest,
  reply: FastifyReply,
  authenticate: AuthenticateService,
): Promise<void> => {
  const header = request.headers.authorization
  if (header === undefined || !isBasic(header)) throw missingClient(reply)
  await presentedClient(request, reply, authenticate)
}
