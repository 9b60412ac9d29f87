/**
 * Ids are 16 bytes, written as 22 characters of base64url (RFC 4648 section 5, without padding). Here they become four 32-bit words:
 * numbers can be compared and stored in typed arrays, while a string or a Buffer for each lookup would be garbage.
 */
const idLength = 22
export const idBytes = 16

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const noDigit = 255
const digits = new Uint8Array(128).fill(noDigit)
for (let value = 0; value < alphabet.length; value++) digits[alphabet.charCodeAt(value)] = value

/**
 * Puts the words of an id into `words`, the first byte of the id in the highest bits of the first word. Returns false, and leaves `words`
 * in an undefined state, unless the text is the canonical spelling of 16 bytes: two spellings of an id must not be two ids.
 */
export const readId = (text: string, words: Uint32Array): boolean => {
  if (text.length !== idLength) return false
  let word = 0
  let freeBits = 32
  let at = 0
  for (let place = 0; place < idLength; place++) {
    const digit = digits[text.charCodeAt(place)] ?? noDigit
    if (digit === noDigit) return false
    if (freeBits >= 6) {
      freeBits -= 6
      word |= digit << freeBits
    } else {
      // The digit spans two words.
      words[at++] = word | (digit >>> (6 - freeBits))
      freeBits += 26
      word = digit << freeBits
    }
  }
  // 22 digits carry 132 bits. The canonical spelling has zeros in the last four.
  return word === 0
}

/** The text of the id that `readId` returned as these words. */
export const textOf = (words: Uint32Array): string => {
  const bytes = Buffer.alloc(idBytes)
  for (const [place, word] of words.entries()) bytes.writeUInt32BE(word, place * 4)
  return bytes.toString('base64url')
}

const kidLength = 43
const kidExpression = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/

/** Whether the text is the canonical spelling of 32 bytes, like an RFC 7638 thumbprint. */
export const isKid = (text: string): boolean =>
  text.length === kidLength && kidExpression.test(text)
