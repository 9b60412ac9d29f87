import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Clock } from '../lib/clock.ts'
import { safeReturnPath } from './return-path.ts'

/** One key of the ring derived for the label "cardea return address". Two keys may share an id. */
export type ReturnTokenKey = { readonly id: number; readonly key: Buffer }

/** Where to go after sign-in. */
export type ReturnAddress = {
  /** Path and query on this host. */
  readonly path: string
  /** Whoever is signed in must prove again who they are, later than `issuedAtMs`. */
  readonly reauthenticates: boolean
  readonly issuedAtMs: number
}

export type ReturnTokens = {
  readonly write: (path: string, reauthenticates: boolean) => string
  /** Nothing when the text was not made here, was altered, or is over an hour old. Never throws. */
  readonly read: (token: string | undefined) => ReturnAddress | undefined
}

// base64url( version 1 B | key id 1 B | reauthenticates 1 B | issued at, seconds, 4 B | mac 32 B | path )
const version = 1
const issuedAt = 3
const macAt = 7
const pathAt = 39

/** Long enough to look up a forgotten password; a link that is kept for later goes to `/`. */
const lifetimeSeconds = 3600

const macOf = (key: Buffer, head: Uint8Array, path: Uint8Array): Buffer =>
  createHmac('sha256', key).update(head).update(path).digest()

/** Only the canonical spelling. */
const decode = (token: string): Buffer | undefined => {
  const bytes = Buffer.from(token, 'base64url')
  return bytes.length > pathAt && bytes.toString('base64url') === token ? bytes : undefined
}

/**
 * Return addresses with our signature on them. Whoever can open a page through the proxy gets its address signed, so a signature is no
 * permission: it keeps what was judged when the proxy said it from being exchanged on the way, the demand to sign in again from being
 * taken out, and old links from leading anywhere but to `/`.
 */
export const returnTokens = (
  keys: readonly ReturnTokenKey[],
  clock: Pick<Clock, 'nowMs'>,
): ReturnTokens => {
  const [current] = keys
  if (current === undefined) throw new TypeError('return addresses need at least one key')
  const nowSeconds = () => Math.floor(clock.nowMs() / 1000)

  const write = (path: string, reauthenticates: boolean): string => {
    const head = Buffer.alloc(macAt)
    head.writeUInt8(version, 0)
    head.writeUInt8(current.id, 1)
    head.writeUInt8(reauthenticates ? 1 : 0, 2)
    head.writeUInt32BE(nowSeconds(), issuedAt)
    const pathBytes = Buffer.from(path)
    return Buffer.concat([head, macOf(current.key, head, pathBytes), pathBytes]).toString(
      'base64url',
    )
  }

  const isOurs = (bytes: Buffer): boolean =>
    keys.some(
      ({ id, key }) =>
        id === bytes.readUInt8(1) &&
        timingSafeEqual(
          macOf(key, bytes.subarray(0, macAt), bytes.subarray(pathAt)),
          bytes.subarray(macAt, pathAt),
        ),
    )

  const read = (token: string | undefined): ReturnAddress | undefined => {
    const bytes = token === undefined ? undefined : decode(token)
    if (bytes === undefined || bytes.readUInt8(0) !== version || !isOurs(bytes)) return undefined
    const issuedAtSeconds = bytes.readUInt32BE(issuedAt)
    if (nowSeconds() - issuedAtSeconds > lifetimeSeconds) return undefined
    // Again, so that a rule which is tightened holds for what was signed before it.
    const path = safeReturnPath(bytes.toString('utf8', pathAt))
    if (path === undefined) return undefined
    return { path, reauthenticates: bytes.readUInt8(2) === 1, issuedAtMs: issuedAtSeconds * 1000 }
  }
  return { write, read }
}
