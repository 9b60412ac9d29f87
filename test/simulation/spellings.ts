import { checkAccessToken } from '../../packages/verifier/src/index.ts'
import { verifying } from './checks.ts'
import type { TokenRecord } from './oracle.ts'
import { count, issuer, Violation, type World } from './world.ts'

/** The order of the curve P-256. */
const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n

/** Another text for the same token, which verifies just as well: whoever has (r, s) has (r, n - s). */
const rewritten = (token: string): string => {
  const [header, claims, signature = ''] = token.split('.')
  const bytes = Buffer.from(signature, 'base64url')
  const s = BigInt(`0x${bytes.toString('hex', 32)}`)
  bytes.write((order - s).toString(16).padStart(64, '0'), 32, 'hex')
  return `${header}.${claims}.${bytes.toString('base64url')}`
}

const mostTokens = 20

/** I9: what is known of a token is known of it in every spelling, since only verified claims are looked up. */
export const checkSpellings = async (
  world: World,
  tokens: readonly TokenRecord[],
): Promise<void> => {
  const check = checkAccessToken({
    issuer,
    audiences: [issuer],
    keyOf: world.verificationKey,
    clock: world.timeline,
  })
  for (const token of world.dice.shuffle(tokens).slice(0, mostTokens)) {
    const { claims, kid } = await check(rewritten(token.text))
    const { jti, sid, sub, aep } = claims
    for (const verifier of verifying(world)) {
      const isKnown = verifier.knows({ ...token, jti, sid, sub, kid, aep: [...aep] })
      if (isKnown !== verifier.knows(token)) {
        throw new Violation(`I9: ${verifier.name} takes ${jti} rewritten for another token`)
      }
      if (isKnown) count(world, 'refused: rewritten')
    }
  }
}
