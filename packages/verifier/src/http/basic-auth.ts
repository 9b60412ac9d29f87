/** A service client of Cardea. */
export type ClientCredential = { readonly id: string; readonly secret: string }

/**
 * HTTP Basic for OAuth clients: id and secret are form-encoded first, so that a colon in the id does not end it (RFC 6749 section 2.3.1).
 */
export const basicAuth = ({ id, secret }: ClientCredential): string =>
  `Basic ${Buffer.from(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`).toString('base64')}`
