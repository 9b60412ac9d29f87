import { hash } from 'node:crypto'
import { LruMap } from 'toad-cache'
import type { PresentedCookie } from './cookie-session-store.ts'
import { type HandleCodec, handleId } from './handle.ts'
import { readPresentedCookie } from './read-presented-cookie.ts'

/** Some 450 bytes each. */
const mostRemembered = 10_000

export type RememberedCookie = PresentedCookie & {
  /** What a step-up revokes it by. */
  readonly handleId: string
}

/**
 * What the handles of session cookies say, remembered for those that come again, as most do: their MAC takes longer than all else of a
 * look-up in this process. By the digest of the text and without the secret, so that nobody finds a credential here. What we did not
 * make is never remembered, and so cannot push out what we did.
 */
export const rememberedCookies = (codec: Pick<HandleCodec, 'read'>) => {
  const remembered = new LruMap<RememberedCookie>(mostRemembered)
  return (text: string): RememberedCookie | undefined => {
    const digest = hash('sha256', text, 'base64url')
    const known = remembered.get(digest)
    if (known) return known
    const read = readPresentedCookie(codec, text)
    if (!read) return undefined
    const { sessionId, generation, secretDigest } = read
    const presented = { sessionId, generation, secretDigest, handleId: handleId(read) }
    remembered.set(digest, presented)
    return presented
  }
}
