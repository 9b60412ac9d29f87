/** What is needed of a request of `node:http`, `node:http2` or Fastify's `inject`. */
export type NodeHeaders = {
  readonly headers: { readonly authorization?: string | undefined }
  /** Names and values in turn, as they came. Not there in some adapters for functions in a cloud. */
  readonly rawHeaders?: readonly string[]
}

/**
 * Every `Authorization` field of a request. `headers` alone would not do: Node keeps the first of several and drops the others in
 * silence (`message.headers` in its documentation), while a proxy in front may have kept the last.
 */
export const authorizationFields = ({ headers, rawHeaders = [] }: NodeHeaders): string[] => {
  const values = rawHeaders.filter(
    (_, place) => place % 2 === 1 && rawHeaders[place - 1]?.toLowerCase() === 'authorization',
  )
  if (values.length > 1) return values
  // What the application itself put there or took away counts, e.g. to lift a token out of its own cookie.
  return headers.authorization === undefined ? [] : [headers.authorization]
}
