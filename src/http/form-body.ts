import type { FastifyInstance, FastifyRequest } from 'fastify'
import { httpErrors } from './errors.ts'
import type { OnEveryRequest } from './on-every-request.ts'
import { safeMethods } from './same-site.ts'

const formMediaType = 'application/x-www-form-urlencoded'

const formInUtf8 = /^application\/x-www-form-urlencoded(?:\s*;\s*charset=(?:utf-8|"utf-8"))?$/i

/** An address that the router could not read leads to no route, and so to no config. */
export const takesForms = (request: FastifyRequest): boolean =>
  request.routeOptions.config?.protocol !== undefined

/**
 * Any page can send a form to any origin without asking first, so nothing that a cookie opens may take one: only OAuth routes do, where
 * the request itself carries the credentials and the origin check still stands before them, and the login form, which besides is bound
 * to the browser it was made for.
 */
export const requireForm: OnEveryRequest = (request) => {
  if (!takesForms(request) || safeMethods.has(request.method)) return
  const contentType = request.headers['content-type']
  if (contentType === undefined || !formInUtf8.test(contentType)) {
    throw httpErrors.error('unsupported_media_type', {
      detail: `This endpoint takes ${formMediaType} in UTF-8.`,
    })
  }
  if (request.headers['content-encoding'] !== undefined) {
    throw httpErrors.error('unsupported_media_type', { detail: 'The body must not be compressed.' })
  }
}

/** Everything outside of it is percent-encoded (URL Standard, application/x-www-form-urlencoded). */
const printableAscii = /^[\x20-\x7e]*$/

/** The parser keeps a broken escape as it stands and makes U+FFFD of bytes that are not UTF-8: two readings of one body. */
const hasBrokenEscape = (text: string): boolean => {
  try {
    decodeURIComponent(text)
    return false
  } catch {
    return true
  }
}

const refuse = (detail: string): never => {
  throw httpErrors.error('invalid_request', { detail })
}

/** Parameters by name. RFC 6749 section 3.2: one without a value counts as left out, and none may come twice. */
const readForm = (bytes: Buffer): Record<string, string> => {
  const text = bytes.toString('latin1')
  if (!printableAscii.test(text) || hasBrokenEscape(text)) refuse('The body is not a form.')
  const parameters = [...new URLSearchParams(text)]
  const names = new Set(parameters.map(([name]) => name))
  if (names.size < parameters.length) refuse('The body names a parameter twice.')
  // Own properties all, also one that is called `__proto__`.
  return Object.fromEntries(parameters.filter(([, value]) => value !== ''))
}

/** Adds the parser for forms. */
export const readFormBodies = (app: FastifyInstance): void => {
  app.addContentTypeParser<Buffer>(
    formMediaType,
    { parseAs: 'buffer' },
    async (_request: FastifyRequest, bytes: Buffer) => readForm(bytes),
  )
}
