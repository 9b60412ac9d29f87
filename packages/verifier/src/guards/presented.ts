/** The parts of a request that a guard reads, for every framework. */
export type Presented = {
  readonly method: string
  /** Every `Authorization` field. */
  readonly authorization: readonly string[]
  /** All `Cookie` fields, joined. */
  readonly cookie: string | undefined
  readonly origin: string | undefined
  /** The host that the request was sent to, for the text of a refusal. */
  readonly host: string | undefined
  /** The browser sets it, and pages cannot change it. */
  readonly secFetchSite: string | undefined
}

/** The needed part of a request of `node:http`, `node:http2` or Fastify's `inject`. */
export type NodeRequest = {
  readonly method?: string | undefined
  readonly headers: {
    readonly authorization?: string | undefined
    readonly cookie?: string | undefined
    readonly host?: string | undefined
    readonly origin?: string | undefined
    readonly 'sec-fetch-site'?: string | string[] | undefined
  }
  /** Names and values in turn, as received. Missing in some adapters for cloud functions. */
  readonly rawHeaders?: readonly string[]
}

/**
 * Every `Authorization` field of a request. `headers` alone is not enough: Node keeps the first of several and silently drops the others
 * (`message.headers` in its documentation), while a proxy may have used the last.
 */
const authorizationFields = ({ headers, rawHeaders = [] }: NodeRequest): string[] => {
  const values = rawHeaders.filter(
    (_, place) => place % 2 === 1 && rawHeaders[place - 1]?.toLowerCase() === 'authorization',
  )
  if (values.length > 1) return values
  // A value that the application itself set or removed is respected, e.g. a token from its own cookie.
  return headers.authorization === undefined ? [] : [headers.authorization]
}

/** Node joins several `Cookie`, `Origin` or `Sec-Fetch-Site` fields, so a second one makes the value match nothing. */
export const presentedToNode = (request: NodeRequest): Presented => {
  const { cookie, host, origin, 'sec-fetch-site': site } = request.headers
  return {
    // Without a method the request is treated as unsafe.
    method: request.method ?? '',
    authorization: authorizationFields(request),
    cookie,
    host,
    origin,
    secFetchSite: Array.isArray(site) ? site.join(', ') : site,
  }
}

/** Several fields with one name arrive joined by commas. A valid value contains no comma, so these are refused as malformed. */
export const presentedToFetch = ({ headers, method }: Request): Presented => {
  const field = headers.get('authorization')
  return {
    method,
    authorization: field === null ? [] : [field],
    cookie: headers.get('cookie') ?? undefined,
    host: headers.get('host') ?? undefined,
    origin: headers.get('origin') ?? undefined,
    secFetchSite: headers.get('sec-fetch-site') ?? undefined,
  }
}
