import { importJWK } from 'jose'
import { type JwksDocument, jwksDocument } from './jwks.ts'
import { publicJwkOf } from './public-jwk.ts'
import { unsealPrivateKey } from './sealed-private-key.ts'
import type { DerivedKeys } from './secret-ring.ts'
import type { PublicJwk, Signer, StoredSigningKey, VerificationKey } from './signing-key.ts'
import type { SigningKeyStore } from './signing-key-store.ts'

/** Everything in memory that follows from the rows; made as a whole, so that its parts never contradict each other. */
export type KeySet = {
  readonly signer: Signer
  readonly verificationKeys: ReadonlyMap<string, VerificationKey>
  readonly jwks: JwksDocument
  /** The rows that it was made from. */
  readonly rows: readonly StoredSigningKey[]
}

/** Rows that the service cannot have written. Start-up stops, for people to look. */
export class SigningKeysDamaged extends Error {
  constructor(problem: string) {
    super(`the signing keys in the database are damaged: ${problem}`)
    this.name = 'SigningKeysDamaged'
  }
}

type OpenKey = {
  readonly signer: Signer
  readonly publicJwk: PublicJwk
  readonly verificationKey: VerificationKey
}

const openKey = async (row: StoredSigningKey, sealingKeys: DerivedKeys): Promise<OpenKey> => {
  const { kid, algorithm } = row
  const privateKey = unsealPrivateKey(kid, row.sealedPrivate, sealingKeys)
  // Derived, not read: whoever can write to the table but has no secret cannot have a key of theirs trusted.
  const publicJwk = await publicJwkOf(privateKey, algorithm)
  if (publicJwk.kid !== kid) throw new SigningKeysDamaged(`${kid} is not the key that it names`)
  const key = await importJWK(publicJwk, algorithm).catch(() => undefined)
  if (key === undefined || key instanceof Uint8Array) {
    throw new SigningKeysDamaged(`${kid} is no ${algorithm} key`)
  }
  return {
    signer: { kid, algorithm, privateKey },
    publicJwk,
    verificationKey: { kid, algorithm, key },
  }
}

const keySetOf = (
  rows: readonly StoredSigningKey[],
  opened: ReadonlyMap<string, OpenKey>,
): KeySet => {
  const active = rows.find(({ state }) => state === 'active')
  const signer = active && opened.get(active.kid)?.signer
  if (!signer) throw new SigningKeysDamaged('none is active')
  const keys = [...opened.values()]
  return {
    signer,
    // A Map and not an object: a kid from a token is looked up here, and `__proto__` must find nothing.
    verificationKeys: new Map(keys.map((key) => [key.verificationKey.kid, key.verificationKey])),
    jwks: jwksDocument(keys.map((key) => key.publicJwk)),
    rows,
  }
}

/**
 * Reads and unseals all keys. Throws `WrongKeyEncryptionKey` when one does not open, `SigningKeysDamaged` when one is not
 * what its row says or none is active: a service that cannot sign, or trusts a key it did not make, must not start.
 */
export const keySetLoader = (
  store: Pick<SigningKeyStore, 'listUsable'>,
  sealingKeys: DerivedKeys,
) => {
  let known: ReadonlyMap<string, OpenKey & Pick<StoredSigningKey, 'sealedPrivate'>> = new Map()

  const open = async (row: StoredSigningKey) => {
    const { kid, algorithm, sealedPrivate } = row
    const before = known.get(kid)
    const isSame =
      before?.sealedPrivate.equals(sealedPrivate) && before.signer.algorithm === algorithm
    // The same sealed bytes are the same key: reading again twice a minute costs one statement and no cryptography.
    return before && isSame ? before : { ...(await openKey(row, sealingKeys)), sealedPrivate }
  }

  return async (): Promise<KeySet> => {
    const rows = await store.listUsable()
    const opened = await Promise.all(rows.map(async (row) => [row.kid, await open(row)] as const))
    const keys = new Map(opened)
    const keySet = keySetOf(rows, keys)
    known = keys
    return keySet
  }
}
