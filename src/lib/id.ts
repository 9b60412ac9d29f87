import type { Random } from './random.ts'

/** Ids are 16 random bytes (128 bits; a UUIDv4 has 122), written as 22 characters of base64url. */
const idBytes = 16

/** Exactly the canonical spellings: the last character carries 2 bits of the id, so only four can end one. */
export const idPattern = '^[A-Za-z0-9_-]{21}[AQgw]$'

const idExpression = new RegExp(idPattern)

export const newId = (random: Random): string => random(idBytes).toString('base64url')

export const isId = (text: string): boolean => idExpression.test(text)

/** The 16 bytes of an id that has been checked with `isId` or by a schema. */
export const idToBytes = (id: string): Buffer => Buffer.from(id, 'base64url')

export const idFromBytes = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url')
