import buildAjvCompiler from '@fastify/ajv-compiler'
import buildStringifyCompiler from '@fastify/fast-json-stringify-compiler'
import type { FastifyInstance, FastifyRequest, FastifyServerOptions } from 'fastify'
import { parseStrictJson, StrictJsonError } from '../lib/strict-json.ts'
import { safeMethods } from './browser-requests.ts'
import { httpErrors } from './errors.ts'
import type { OnEveryRequest } from './request-checks.ts'

/** With or without `charset`. An empty parameter is ignored (RFC 9110 section 5.6.6), and `utf8` is a label of UTF-8 (WHATWG Encoding). */
const jsonInUtf8 = /^application\/json[ \t]*(?:;[ \t]*(?:charset=(?:utf-?8|"utf-?8")[ \t]*;?)?)?$/i

const formInUtf8 =
  /^application\/x-www-form-urlencoded[ \t]*(?:;[ \t]*(?:charset=(?:utf-?8|"utf-?8")[ \t]*;?)?)?$/i

const formMediaType = 'application/x-www-form-urlencoded'

/** An address that the router cannot parse has no route, and so no config. */
const takesForms = (request: FastifyRequest): boolean =>
  request.routeOptions.config?.protocol !== undefined

const hasBody = ({ headers }: FastifyRequest): boolean =>
  headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'

/**
 * Whether another web page can send this request without a preflight. A form sends GET and POST only, and browsers never add a bearer token
 * by themselves (they do add `Basic`).
 */
const canBeForged = ({ method, headers }: FastifyRequest): boolean =>
  method === 'POST' && !/^Bearer /i.test(headers.authorization ?? '')

const refuseType = (detail?: string): never => {
  throw httpErrors.error('unsupported_media_type', { ...(detail !== undefined && { detail }) })
}

const refuseCompressed = ({ headers }: FastifyRequest): void => {
  // A small compressed body can expand to any size, and no client needs one.
  if (headers['content-encoding'] !== undefined) refuseType('The body must not be compressed.')
}

/**
 * Requests that change state must declare JSON. A web page can send the form types, or no type, to any origin without a preflight, but
 * never JSON. Exception: the type is ignored when there is no body and no page could have sent the request without a preflight, because
 * axios sends no type or the form type there.
 */
const requireJson: OnEveryRequest = (request) => {
  const { headers } = request
  if (!hasBody(request) && !canBeForged(request)) delete headers['content-type']
  else if (!jsonInUtf8.test(headers['content-type'] ?? '')) refuseType()
  refuseCompressed(request)
}

/**
 * Any web page can send a form to any origin without a preflight, so no route that a cookie authorizes accepts one. Forms are accepted on
 * OAuth routes, whose requests carry their own credentials after the origin check, and on the HTML pages of this service, whose forms are
 * bound to the browser they were made for.
 */
const requireForm: OnEveryRequest = (request) => {
  const contentType = request.headers['content-type']
  if (contentType === undefined || !formInUtf8.test(contentType)) {
    refuseType(`This endpoint takes ${formMediaType} in UTF-8.`)
  }
  refuseCompressed(request)
}

/** Checks the content type and encoding before the body is read. */
export const requireContentType: OnEveryRequest = (request, reply) => {
  if (safeMethods.has(request.method)) return
  if (takesForms(request)) requireForm(request, reply)
  else if (!request.is404) requireJson(request, reply)
}

/** A missing body is read as an empty object. With PUT it is almost always a client bug, so it is refused instead of clearing the data. */
const noBody = ({ method, is404 }: FastifyRequest): unknown => {
  if (method !== 'PUT' || is404) return {}
  throw httpErrors.error('invalid_request', { detail: 'The body is empty.' })
}

/** `null` is treated as a missing body: HTTP clients send it when they get no body to send. */
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

/** Keeps one body parser, for JSON, and refuses all other types before any handler. `readFormBodies` adds the one exception. */
export const readJsonBodies = (app: FastifyInstance): void => {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser<Buffer>(
    'application/json',
    { parseAs: 'buffer' },
    (request, bytes, done) => done(null, readBody(request, bytes)),
  )
  app.addHook('preValidation', (request, _reply, done) => {
    // Without a content type Fastify runs no parser.
    if (request.body === undefined && !safeMethods.has(request.method)) {
      request.body = noBody(request)
    }
    // Without a body schema Fastify runs no check, so unknown members would be ignored silently.
    const isTaken = request.routeOptions.schema?.body !== undefined || request.is404
    if (!isTaken && request.body !== undefined && !isEmpty(request.body)) {
      throw httpErrors.error('invalid_request', { detail: 'This endpoint takes no members.' })
    }
    done()
  })
}

/** All other characters are percent-encoded (URL Standard, application/x-www-form-urlencoded). */
const printableAscii = /^[\x20-\x7e]*$/

/**
 * `URLSearchParams` keeps a broken escape unchanged and replaces invalid UTF-8 by U+FFFD, so another parser could read the same body
 * differently.
 */
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

/** The parameters by name. RFC 6749 section 3.2: a parameter without a value is treated as omitted, and none may be repeated. */
const readForm = (bytes: Buffer): Record<string, string> => {
  const text = bytes.toString('latin1')
  if (!printableAscii.test(text) || hasBrokenEscape(text)) refuseForm('The body is not a form.')
  const parameters = [...new URLSearchParams(text)]
  const names = new Set(parameters.map(([name]) => name))
  if (names.size < parameters.length) refuseForm('The body names a parameter twice.')
  // `fromEntries` makes own properties only, even for a parameter named `__proto__`.
  return Object.fromEntries(parameters.filter(([, value]) => value !== ''))
}

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

/** The compiled function of Ajv or fast-json-stringify, as far as Fastify uses it. */
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
 * Fastify's own compilers, but each schema is compiled on its first use. Compiling the schemas of all routes would take much of the processor
 * time of a start, and most processes use few of them.
 */
export const schemaCompilersOnDemand = (): Compilers => ({
  buildValidator: onDemand(buildAjvCompiler() as BuildCompiler) as Compilers['buildValidator'],
  buildSerializer: onDemand(
    buildStringifyCompiler() as BuildCompiler,
  ) as Compilers['buildSerializer'],
})
