import buildAjvCompiler from '@fastify/ajv-compiler'
import buildStringifyCompiler from '@fastify/fast-json-stringify-compiler'
import type { FastifyInstance, FastifyRequest, FastifyServerOptions } from 'fastify'
import { parseStrictJson, StrictJsonError } from '../lib/strict-json.ts'
import { safeMethods } from './browser-requests.ts'
import { httpErrors } from './errors.ts'
import type { OnEveryRequest } from './request-checks.ts'

/** With `charset` or without; an empty parameter counts as none (RFC 9110 section 5.6.6), `utf8` is a name of UTF-8 (WHATWG Encoding). */
const jsonInUtf8 = /^application\/json[ \t]*(?:;[ \t]*(?:charset=(?:utf-?8|"utf-?8")[ \t]*;?)?)?$/i

const formInUtf8 =
  /^application\/x-www-form-urlencoded[ \t]*(?:;[ \t]*(?:charset=(?:utf-?8|"utf-?8")[ \t]*;?)?)?$/i

const formMediaType = 'application/x-www-form-urlencoded'

/** An address that the router could not read leads to no route, and so to no config. */
const takesForms = (request: FastifyRequest): boolean =>
  request.routeOptions.config?.protocol !== undefined

const hasBody = ({ headers }: FastifyRequest): boolean =>
  headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'

/**
 * A form sends GET and POST only, and browsers add no bearer token by themselves (they do add `Basic`). So a page that sends one of
 * these must ask first, whatever the content type.
 */
const canBeForged = ({ method, headers }: FastifyRequest): boolean =>
  method === 'POST' && !/^Bearer /i.test(headers.authorization ?? '')

const refuseType = (detail?: string): never => {
  throw httpErrors.error('unsupported_media_type', { ...(detail !== undefined && { detail }) })
}

const refuseCompressed = ({ headers }: FastifyRequest): void => {
  // A small compressed body can unfold to any size; nothing here needs one.
  if (headers['content-encoding'] !== undefined) refuseType('The body must not be compressed.')
}

/**
 * Everything that changes state must say that it is JSON: a page can send the form types and no type at all to any origin without
 * asking first, but never this one. Where no page could have sent the request without asking, and there is no body, the type says
 * nothing: axios sends none, or that of a form.
 */
const requireJson: OnEveryRequest = (request) => {
  const { headers } = request
  if (!hasBody(request) && !canBeForged(request)) delete headers['content-type']
  else if (!jsonInUtf8.test(headers['content-type'] ?? '')) refuseType()
  refuseCompressed(request)
}

/**
 * Any page can send a form to any origin without asking first, so nothing that a cookie opens may take one: only OAuth routes do, where
 * the request itself carries the credentials and the origin check still stands before them, and the forms of our pages, which besides
 * are bound to the browser they were made for.
 */
const requireForm: OnEveryRequest = (request) => {
  const contentType = request.headers['content-type']
  if (contentType === undefined || !formInUtf8.test(contentType)) {
    refuseType(`This endpoint takes ${formMediaType} in UTF-8.`)
  }
  refuseCompressed(request)
}

/** Refuses what a body says of itself, before it is read and before any handler. */
export const requireContentType: OnEveryRequest = (request, reply) => {
  if (safeMethods.has(request.method)) return
  if (takesForms(request)) requireForm(request, reply)
  else if (!request.is404) requireJson(request, reply)
}

/** No body is read as an empty object. With PUT it is almost always a client bug, so it is refused instead of clearing the data. */
const noBody = ({ method, is404 }: FastifyRequest): unknown => {
  if (method !== 'PUT' || is404) return {}
  throw httpErrors.error('invalid_request', { detail: 'The body is empty.' })
}

/** `null` is no body: HTTP clients write it when they are given none. */
const readBody = (request: FastifyRequest, bytes: Buffer): unknown => {
  if (bytes.length === 0) return noBody(request)
  try {
    return parseStrictJson(bytes) ?? noBody(request)
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

/** Leaves one body parser, for JSON, and refuses everything else before any handler; `readFormBodies` adds the one exception. */
export const readJsonBodies = (app: FastifyInstance): void => {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser<Buffer>(
    'application/json',
    { parseAs: 'buffer' },
    (request, bytes, done) => done(null, readBody(request, bytes)),
  )
  app.addHook('preValidation', (request, _reply, done) => {
    // Without a content type no parser ran.
    if (request.body === undefined && !safeMethods.has(request.method)) {
      request.body = noBody(request)
    }
    // Where a route describes no body the schema check does not run, so members would be dropped in silence.
    const isTaken = request.routeOptions.schema?.body !== undefined || request.is404
    if (!isTaken && request.body !== undefined && !isEmpty(request.body)) {
      throw httpErrors.error('invalid_request', { detail: 'This endpoint takes no members.' })
    }
    done()
  })
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

const refuseForm = (detail: string): never => {
  throw httpErrors.error('invalid_request', { detail })
}

/** Parameters by name. RFC 6749 section 3.2: one without a value counts as left out, and none may come twice. */
const readForm = (bytes: Buffer): Record<string, string> => {
  const text = bytes.toString('latin1')
  if (!printableAscii.test(text) || hasBrokenEscape(text)) refuseForm('The body is not a form.')
  const parameters = [...new URLSearchParams(text)]
  const names = new Set(parameters.map(([name]) => name))
  if (names.size < parameters.length) refuseForm('The body names a parameter twice.')
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

type Compilers = Required<
  NonNullable<NonNullable<FastifyServerOptions['schemaController']>['compilersFactory']>
>

/** What Ajv and fast-json-stringify make of a schema, as far as Fastify uses it. */
type Compiled = ((data: unknown) => unknown) & { errors?: unknown }

type BuildCompiler = (schemas: unknown, options: unknown) => (route: unknown) => Compiled

const onDemand =
  (build: BuildCompiler): BuildCompiler =>
  (schemas, options) => {
    const compile = build(schemas, options)
    return (route) => {
      let compiled: Compiled | undefined
      const apply: Compiled = function applySchema(data) {
        compiled ??= compile(route)
        const result = compiled(data)
        if (result === false) apply.errors = compiled.errors
        return result
      }
      return apply
    }
  }

/**
 * Fastify's own compilers, but each schema is compiled when a request first needs it. Compiling those of all routes would take half of the
 * processor time of a start, and most processes use few of them.
 */
export const schemaCompilersOnDemand = (): Compilers => ({
  buildValidator: onDemand(buildAjvCompiler() as BuildCompiler) as Compilers['buildValidator'],
  buildSerializer: onDemand(
    buildStringifyCompiler() as BuildCompiler,
  ) as Compilers['buildSerializer'],
})
