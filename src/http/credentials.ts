import type { FastifyReply, FastifyRequest } from 'fastify'
import type { AppError } from '../lib/app-error.ts'
import { httpErrors } from './errors.ts'

/** The credentials that a service client presented. Only their form has been checked. */
export type BasicCredentials = { readonly clientId: string; readonly secret: string }

/**
 * RFC 7617 section 2; the scheme's case does not matter (RFC 9110 section 11.1). The credentials that Cardea issues need less than 100
 * characters.
 */
const basic = /^Basic +([A-Za-z0-9+/]{1,1024}={0,2})$/i

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** Accepts one spelling per value. Decoders skip foreign characters, so two layers could decode one text differently. */
const decodeBase64 = (text: string): string | undefined => {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.toString('base64') !== text) return undefined
  try {
    return utf8.decode(bytes)
  } catch {
    return undefined
  }
}

/** RFC 6749 section 2.3.1: OAuth clients form-encode both parts before they join them. */
const decodeFormValue = (text: string): string | undefined => {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return undefined
  }
}

/** Whether an `Authorization` header uses the Basic scheme, well-formed or not. */
const isBasic = (header: string): boolean => /^Basic(?: |$)/i.test(header)

/** The credentials of an `Authorization` header, or nothing when it is not well-formed. */
const basicCredentials = (header: string): BasicCredentials | undefined => {
  const encoded = basic.exec(header)?.[1]
  const pair = encoded === undefined ? undefined : decodeBase64(encoded)
  const colon = pair?.indexOf(':') ?? -1
  if (pair === undefined || colon < 0) return undefined
  const clientId = decodeFormValue(pair.slice(0, colon))
  const secret = decodeFormValue(pair.slice(colon + 1))
  return clientId === undefined || secret === undefined ? undefined : { clientId, secret }
}

/** Whether these are the credentials of an enabled service client. Throws an `AppError` with status 503 when it cannot decide. */
export type AuthenticateService = (credentials: BasicCredentials) => Promise<boolean>

/** The unchecked id of an OAuth client, with its secret unless it is a public client. */
export type PresentedClient = { readonly clientId: string; readonly secret: string | undefined }

/** RFC 7617 section 2.1: the charset for non-ASCII characters. Our credentials are ASCII. */
const basicChallenge = 'Basic realm="cardea", charset="UTF-8"'

const refusal = (reply: FastifyReply, code: 'missing_credentials' | 'invalid_client'): AppError => {
  reply.header('www-authenticate', basicChallenge)
  return httpErrors.error(code)
}

/**
 * One response for every defect. A client that cannot authenticate must not learn whether a client id exists, is disabled or has another
 * secret.
 */
export const refusedClient = (reply: FastifyReply): AppError => refusal(reply, 'invalid_client')

export const missingClient = (reply: FastifyReply): AppError =>
  refusal(reply, 'missing_credentials')

const malformed = (detail: string): AppError => httpErrors.error('invalid_request', { detail })

/**
 * `client_secret_basic` (RFC 6749 section 2.3.1). Libraries that support only this method send the id of a public client with an empty
 * secret.
 * @throws invalid_client for a header that is not well-formed Basic (section 5.2)
 */
const clientInHeader = (
  { headers: { authorization } }: FastifyRequest,
  reply: FastifyReply,
): PresentedClient | undefined => {
  if (authorization === undefined) return undefined
  const credentials = basicCredentials(authorization)
  if (credentials === undefined) throw refusedClient(reply)
  const { clientId, secret } = credentials
  return { clientId, secret: secret === '' ? undefined : secret }
}

const textIn = (body: unknown, name: string): string | undefined => {
  const value: unknown =
    typeof body === 'object' && body !== null ? Reflect.get(body, name) : undefined
  return typeof value === 'string' ? value : undefined
}

/** `client_secret_post`, or only the `client_id` of a public client. */
const clientInBody = ({ body }: FastifyRequest): PresentedClient | undefined => {
  const [clientId, secret] = [textIn(body, 'client_id'), textIn(body, 'client_secret')]
  if (clientId !== undefined) return { clientId, secret }
  if (secret !== undefined) throw malformed('body lacks the member "client_id".')
  return undefined
}

/**
 * The client id and secret of an OAuth request, from the header or the form; nothing when neither has them.
 * @throws invalid_request for two methods at once (RFC 6749 section 2.3) and for an assertion, invalid_client for two different ids
 */
export const presentedClient = (
  request: FastifyRequest,
  reply: FastifyReply,
): PresentedClient | undefined => {
  if (textIn(request.body, 'client_assertion') !== undefined) {
    throw malformed('The client authenticates with its secret only.')
  }
  const inHeader = clientInHeader(request, reply)
  const inBody = clientInBody(request)
  if (inHeader === undefined) return inBody
  if (inBody?.secret !== undefined) {
    throw malformed('The client authenticates in the header or in the body, not in both.')
  }
  if (inBody !== undefined && inBody.clientId !== inHeader.clientId) throw refusedClient(reply)
  return inHeader
}

/**
 * The same, with the secret checked: the id of an authenticated service client, or the claimed id of a public client.
 * @throws invalid_client
 */
export const provenClient = async (
  request: FastifyRequest,
  reply: FastifyReply,
  authenticate: AuthenticateService,
): Promise<PresentedClient | undefined> => {
  const client = presentedClient(request, reply)
  if (client?.secret === undefined) return client
  const { clientId, secret } = client
  if (!(await authenticate({ clientId, secret }))) throw refusedClient(reply)
  return client
}

/**
 * Requires an authenticated service client, by the header or, once it is read, by the form.
 * @throws missing_credentials, invalid_client, invalid_request
 */
export const assertService = async (
  request: FastifyRequest,
  reply: FastifyReply,
  authenticate: AuthenticateService,
): Promise<void> => {
  const { authorization } = request.headers
  if (authorization !== undefined && !isBasic(authorization)) throw missingClient(reply)
  const client = await provenClient(request, reply, authenticate)
  if (client === undefined) throw missingClient(reply)
  if (client.secret === undefined) throw refusedClient(reply)
}
