/**
 * An answer that is not a page of the feed, or not a whole one. Nothing of it is to be used; asking
 * again is all that helps.
 */
export class FeedFormatError extends Error {
  override readonly name = 'FeedFormatError'
}
