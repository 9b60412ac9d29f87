import Negotiator from 'negotiator'

/** A weight above 1 is malformed (RFC 9110 section 12.4.2). The package accepts it, so a header with such a weight is ignored here. */
const weightAboveOne = /;[ \t]*q[ \t]*=[ \t]*(?:[2-9]|1\d|1\.0*[1-9])/i

/** The media types and ranges in `Accept`, in lower case, the preferred ones first. Equal weights keep their order. */
const namedTypes = (accept: string): string[] =>
  weightAboveOne.test(accept)
    ? []
    : new Negotiator({ headers: { accept } }).mediaTypes().map((type) => type.toLowerCase())

/** Whether `Accept` names this type itself, not only a wildcard that includes it. */
export const acceptsByName = (accept: string | undefined, mediaType: string): boolean =>
  accept !== undefined && namedTypes(accept).includes(mediaType)

/**
 * Whether the client prefers an HTML page. Browsers that navigate send `text/html` by name and before JSON. The wildcard that programs and
 * `fetch` send does not ask for a page.
 */
export const prefersHtml = (accept = ''): boolean => {
  const types = namedTypes(accept)
  const html = types.indexOf('text/html')
  const json = types.indexOf('application/json')
  return html >= 0 && (json < 0 || html < json)
}
