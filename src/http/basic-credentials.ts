/** What a service client says of itself; nothing about it has been checked but its form. */
export type BasicCredentials = { readonly clientId: string; readonly secret: string }

/** RFC 7617 section 2; the scheme's case does not matter (RFC 9110 section 11.1). Our own need under 100 characters. */
const basic = /^Basic +([A-Za-z0-9+/]{1,1024}={0,2})$/i

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** One spelling per value: decoders skip what does not belong there, and two layers could then read two things. */
const decodeBase64 = (text: string): string | undefined => {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.toString('base64') !== text) return undefined
  try {
    return utf8.decode(bytes)
  } catch {
    return undefined
  }
}

/** RFC 6749 section 2.3.1: OAuth clients encode both parts as in a form before they are put together. */
const decodeFormValue = (text: string): string | undefined => {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return undefined
  }
}

/** Whether an `Authorization` header is meant as HTTP Basic, well formed or not. */
export const isBasic = (header: string): boolean => /^Basic(?: |$)/i.test(header)

/** The credentials of an `Authorization` header, or nothing when it is not a well-formed one. */
export const basicCredentials = (header: string): BasicCredentials | undefined => {
  const encoded = basic.exec(header)?.[1]
  const pair = encoded === undefined ? undefined : decodeBase64(encoded)
  const colon = pair?.indexOf(':') ?? -1
  if (pair === undefined || colon < 0) return undefined
  const clientId = decodeFormValue(pair.slice(0, colon))
  const secret = decodeFormValue(pair.slice(colon + 1))
  return clientId === undefined || secret === undefined ? undefined : { clientId, secret }
}
