import type { FastifyInstance, FastifyRequest } from 'fastify'
import { parseStrictJson, StrictJsonError } from '../lib/strict-json.ts'
import { httpErrors } from './errors.ts'
import { takesForms } from './form-body.ts'
import type { OnEveryRequest } from './on-every-request.ts'
import { safeMethods } from './same-site.ts'

const jsonInUtf8 = /^application\/json(?:\s*;\s*charset=(?:utf-8|"utf-8"))?$/i

/**
 * Everything that changes state must say that it is JSON, with a body or without: a page can send the form types and
 * no type at all to any origin without asking first, but never this one.
 */
export const requireJson: OnEveryRequest = (request) => {
  if (safeMethods.has(request.method) || request.is404 || takesForms(request)) return
  const contentType = request.headers['content-type']
  if (contentType === undefined || !jsonInUtf8.test(contentType)) {
    throw httpErrors.error('unsupported_media_type')
  }
  // A small compressed body can unfold to any size; nothing here needs one.
  if (request.headers['content-encoding'] !== undefined) {
    throw httpErrors.error('unsupported_media_type', { detail: 'The body must not be compressed.' })
  }
}

/** An empty body says no more than an empty object, and so it is read as one; but nobody means to replace something by nothing with it. */
const readBody = ({ method, is404 }: FastifyRequest, bytes: Buffer): unknown => {
  if (bytes.length === 0) {
    if (method !== 'PUT' || is404) return {}
    throw httpErrors.error('invalid_request', { detail: 'The body is empty.' })
  }
  try {
    return parseStrictJson(bytes)
  } catch (error) {
    if (!(error instanceof StrictJsonError)) throw error
    throw httpErrors.error('invalid_request', { detail: `The body ${error.message}.` })
  }
}

const isEmpty = (body: unknown): boolean =>
  typeof body === 'object' &&
  body !== null &&
  !Array.isArray(body) &&
  Object.keys(body).length === 0

/** Leaves one body parser, for JSON, and refuses everything else before any handler; `form-body.ts` adds the one exception. */
export const readJsonBodies = (app: FastifyInstance): void => {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser<Buffer>(
    'application/json',
    { parseAs: 'buffer' },
    (request, bytes, done) => done(null, readBody(request, bytes)),
  )
  // Where a route describes no body the schema check does not run, so members would be dropped in silence.
  app.addHook('preValidation', (request, _reply, done) => {
    const isTaken = request.routeOptions.schema?.body !== undefined || request.is404
    if (!isTaken && request.body !== undefined && !isEmpty(request.body)) {
      throw httpErrors.error('invalid_request', { detail: 'This endpoint takes no members.' })
    }
    done()
  })
}
