/**
 * The formats that Cardea and its verifiers share: the revocation feed, as JSON and in a compact binary form, where encoding and
 * decoding a page gives the same page; the cookies of a request, and the page that it comes from.
 *
 *     const body = encodeFeedBinary({ feedId: '7312…-1', cursor: '9041', entries: [] })
 *     decodeFeedBinary(body).cursor // '9041'
 */
export { feedBinaryMediaType } from './wire/binary-form.ts'
export {
  type Cookies,
  isLoopback,
  isPageOrigin,
  judgePage,
  loopbackHint,
  type PageHeaders,
  type PageKind,
  readCookies,
  safeMethods,
} from './wire/browser-requests.ts'
export { decodeFeedBinary } from './wire/decode-feed-binary.ts'
export { encodeFeedBinary } from './wire/encode-feed-binary.ts'
export { entryProblem } from './wire/entry-rules.ts'
export { FeedFormatError } from './wire/feed-format-error.ts'
export { decodeFeedJson, encodeFeedJson } from './wire/feed-json.ts'
export {
  type FeedPage,
  type RevocationEntries,
  type RevocationEntry,
  type RevocationKind,
  revocationKinds,
} from './wire/revocation-entry.ts'
