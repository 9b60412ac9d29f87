import { hash } from 'node:crypto'
import { LruMap } from 'toad-cache'
import type { PresentedCookie } from './cookie-session-store.ts'
import type { HandleCodec } from './handle.ts'
import { readPresentedCookie } from './read-presented-cookie.ts'

/** Some 400 bytes each. */
const mostRemembered = 5_000

/**
 * What the handles of session cookies say, remembered for those that come again, as most do: their MAC takes longer than all else of a
 * look-up in this process. By the digest of the text and without the secret, so that nobody finds a credential here. What we did not
 * make is never remembered, and so cannot push out what we did.
 */
export const rememberedCookies = (codec: Pick<HandleCodec, 'read'>) => {
  const remembered = new LruMap<PresentedCookie>(mostRemembered)
  return (text: string): PresentedCookie | undefined => {
    const digest = hash('sha256', text, 'base64url')
    const known = remembered.get(digest)
    if (known) return known
    const read = readPresentedCookie(codec, text)
    if (!read) return undefined
    const { sessionId, generation, secretDigest } = read
    const presented = { sessionId, generation, secretDigest }
    remembered.set(digest, presented)
    return presented
  }
}
