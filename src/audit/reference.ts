import { createHmac, createSecretKey } from 'node:crypto'

/** Turns an id or an address into the short keyed hash that stands for it in the trail and the log. */
export type Reference = (text: string) => string

/** 16 of 32 bytes: enough to tell two apart, and without the key it says nothing. */
const referenceBytes = 16

export const keyedReference = (key: Buffer): Reference => {
  // Once: with the bytes of the key every HMAC takes four times as long, and each refresh makes one for its line in the log.
  const secret = createSecretKey(key)
  return (text) =>
    createHmac('sha256', secret)
      .update(text)
      .digest()
      .subarray(0, referenceBytes)
      .toString('base64url')
}
