import Negotiator from 'negotiator'

/** A weight above 1 is malformed (RFC 9110 section 12.4.2). The package takes it, so a header with one is not read. */
const weightAboveOne = /;[ \t]*q[ \t]*=[ \t]*(?:[2-9]|1\d|1\.0*[1-9])/i

/** The media types and ranges that `Accept` names, in lower case, the preferred ones first. Of equal weights the first one comes first. */
const namedTypes = (accept: string): string[] =>
  weightAboveOne.test(accept)
    ? []
    : new Negotiator({ headers: { accept } }).mediaTypes().map((type) => type.toLowerCase())

/** Whether `Accept` names this type itself, and not only a wildcard that it is in. */
export const acceptsByName = (accept: string | undefined, mediaType: string): boolean =>
  accept !== undefined && namedTypes(accept).includes(mediaType)

/**
 * Whether a page is wanted, as browsers say when somebody goes to an address: `text/html` by name, and before JSON. The wildcard that
 * programs and a page's own requests send asks for no page.
 */
export const prefersHtml = (accept = ''): boolean => {
  const types = namedTypes(accept)
  const html = types.indexOf('text/html')
  const json = types.indexOf('application/json')
  return html >= 0 && (json < 0 || html < json)
}
