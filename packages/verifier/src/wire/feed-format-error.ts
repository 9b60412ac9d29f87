/** A response that is not a complete page of the feed. Use nothing of it and request it again. */
export class FeedFormatError extends Error {
  override readonly name = 'FeedFormatError'
}
