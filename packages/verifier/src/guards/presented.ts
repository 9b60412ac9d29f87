/** What a guard looks at of a request, whatever the framework. */
export type Presented = {
  readonly method: string
  /** Every `Authorization` field. */
  readonly authorization: readonly string[]
  /** All `Cookie` fields, joined. */
  readonly cookie: string | undefined
  readonly origin: string | undefined
  /** What it was sent to, for the words of a refusal. */
  readonly host: string | undefined
  /** Says from where a browser was made to ask; pages cannot set it. */
  readonly secFetchSite: string | undefined
}

/** What is needed of a request of `node:http`, `node:http2` or Fastify's `inject`. */
export type NodeRequest = {
  readonly method?: string | undefined
  readonly headers: {
    readonly authorization?: string | undefined
    readonly cookie?: string | undefined
    readonly host?: string | undefined
    readonly origin?: string | undefined
    readonly 'sec-fetch-site'?: string | string[] | undefined
  }
  /** Names and values in turn, as they came. Not there in some adapters for functions in a cloud. */
  readonly rawHeaders?: readonly string[]
}

/**
 * Every `Authorization` field of a request. `headers` alone would not do: Node keeps the first of several and drops the others in
 * silence (`message.headers` in its documentation), while a proxy in front may have kept the last.
 */
const authorizationFields = ({ headers, rawHeaders = [] }: NodeRequest): string[] => {
  const values = rawHeaders.filter(
    (_, place) => place % 2 === 1 && rawHeaders[place - 1]?.toLowerCase() === 'authorization',
  )
  if (values.length > 1) return values
  // What the application itself put there or took away counts, e.g. to lift a token out of its own cookie.
  return headers.authorization === undefined ? [] : [headers.authorization]
}

/** Node joins several `Cookie`, `Origin` or `Sec-Fetch-Site` fields: a second one is seen, and then matches nothing. */
export const presentedToNode = (request: NodeRequest): Presented => {
  const { cookie, host, origin, 'sec-fetch-site': site } = request.headers
  return {
    // Without a method it could be any, so it is taken for one that changes something.
    method: request.method ?? '',
    authorization: authorizationFields(request),
    cookie,
    host,
    origin,
    secFetchSite: Array.isArray(site) ? site.join(', ') : site,
  }
}

/** Several fields of a name arrive as one, joined; what we look for has no comma in it, so that is refused as malformed. */
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
