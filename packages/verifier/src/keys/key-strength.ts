import type { VerificationKey } from '../tokens/verification-key.ts'

/** As strong as P-256 and Ed25519 (NIST SP 800-57 part 1). Cardea makes RSA keys of this size. */
const smallestModulusBits = 3072

/** FIPS 186-5 appendix A.1.1: odd, and more than 2^16. With an exponent of 1 every text is its own signature. */
const smallestExponent = 65_537n

const numberOf = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).toString('hex')}`)

/**
 * Encodings of the Ed25519 points with an order of 8 or less, without the sign bit: 0, 1, two of order 8, p - 1, and p and p + 1 (which
 * equal 0 and 1). With such a key OpenSSL 3.0 accepts signatures that anybody can make (tested with Node 20.20); with the key 1, for every
 * text.
 */
const smallOrderPoints: ReadonlySet<string> = new Set([
  '00'.repeat(32),
  `01${'00'.repeat(31)}`,
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  `ec${'ff'.repeat(30)}7f`,
  `ed${'ff'.repeat(30)}7f`,
  `ee${'ff'.repeat(30)}7f`,
])

const weaknessOfRsa = (algorithm: object): string | undefined => {
  if (!('modulusLength' in algorithm && 'publicExponent' in algorithm)) return 'no RSA key'
  if (Number(algorithm.modulusLength) < smallestModulusBits) {
    return `an RSA key of fewer than ${smallestModulusBits} bits`
  }
  const { publicExponent } = algorithm
  const exponent = publicExponent instanceof Uint8Array ? numberOf(publicExponent) : 0n
  return exponent < smallestExponent || exponent % 2n === 0n
    ? `an RSA key whose exponent is even or below ${smallestExponent}`
    : undefined
}

const weaknessOfEd25519 = (x: string | undefined): string | undefined => {
  const point = Buffer.from(x ?? '', 'base64url')
  point.writeUInt8(point.readUInt8(31) & 0x7f, 31)
  return smallOrderPoints.has(point.toString('hex')) ? 'an Ed25519 key of small order' : undefined
}

/**
 * Why valid signatures of a published key prove nothing; undefined for a strong key. With a weak key, others than the owner of the private
 * half can sign.
 * @param x the member of that name of the JWK
 */
export const weaknessOf = (
  { algorithm, key }: Pick<VerificationKey, 'algorithm' | 'key'>,
  x: string | undefined,
): string | undefined => {
  if (algorithm === 'RS256') return weaknessOfRsa(key.algorithm)
  return algorithm === 'Ed25519' ? weaknessOfEd25519(x) : undefined
}
