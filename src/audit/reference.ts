import { createHmac } from 'node:crypto'

/** Turns an id or an address into the short keyed hash that stands for it in the trail and the log. */
export type Reference = (text: string) => string

/** 16 of 32 bytes: enough to tell two apart, and without the key it says nothing. */
const referenceBytes = 16

export const keyedReference =
  (key: Buffer): Reference =>
  (text) =>
    createHmac('sha256', key)
      .update(text)
      .digest()
      .subarray(0, referenceBytes)
      .toString('base64url')
