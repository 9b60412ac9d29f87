import type { PresentedCookie } from './cookie-session-store.ts'
import { type HandleCodec, secretDigest } from './handle.ts'

/** What the handle of a session cookie says; nothing when we did not make it. */
export const readPresentedCookie = (
  codec: Pick<HandleCodec, 'read'>,
  text: string,
): (PresentedCookie & { readonly secret: Buffer }) | undefined => {
  const handle = codec.read(text)
  return handle && { ...handle, secretDigest: secretDigest(handle.secret) }
}
