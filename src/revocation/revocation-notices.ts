/** Word from instance to instance that something was revoked. It may get lost: nobody relies on it. */
export type RevocationNotices = {
  /** Tells the other instances. Returns at once; what is asked for while a word is on its way is said in one more. */
  readonly announce: () => void
  /** Begins to hear them, and goes on through breaks of the connection; the callback runs for each word, each break, each new connection. */
  readonly listen: (onNotice: () => void) => void
  /** Lets the word under way arrive, then hears no more. */
  readonly close: () => Promise<void>
}
