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
}

/** Rows that the service cannot have written. Start-up stops, for people to look. */
export class SigningKeysDamaged extends Error {
  constructor(problem: string) {
    super(`the signing keys in the database are damaged: ${problem}`)
    this.name = 'SigningKeysDamaged'
  }
}

type OpenKey = {
  readonly state: StoredSigningKey['state']
  readonly signer: Signer
  readonly publicJwk: PublicJwk
  readonly verificationKey: VerificationKey
}

const openKey = async (row: StoredSigningKey, sealingKeys: DerivedKeys): Promise<OpenKey> => {
  const { kid, algorithm, state } = row
  const privateKey = unsealPrivateKey(kid, row.sealedPrivate, sealingKeys)
  // Derived, not read: whoever can write to the table but has no secret cannot have a key of theirs trusted.
  const publicJwk = await publicJwkOf(privateKey, algorithm)
  if (publicJwk.kid !== kid) throw new SigningKeysDamaged(`${kid} is not the key that it names`)
  const key = await importJWK(publicJwk, algorithm).catch(() => undefined)
  if (key === undefined || key instanceof Uint8Array) {
    throw new SigningKeysDamaged(`${kid} is no ${algorithm} key`)
  }
  return {
    state,
    signer: { kid, algorithm, privateKey },
    publicJwk,
    verificationKey: { kid, algorithm, key },
  }
}

/**
 * Reads and unseals all keys. Throws `WrongKeyEncryptionKey` when one does not open, `SigningKeysDamaged` when one is not
 * what its row says or none is active: a service that cannot sign, or trusts a key it did not make, must not start.
 */
export const loadKeySet = async (
  store: SigningKeyStore,
  sealingKeys: DerivedKeys,
): Promise<KeySet> => {
  const rows = await store.listUsable()
  const keys = await Promise.all(rows.map((row) => openKey(row, sealingKeys)))
  const active = keys.find((key) => key.state === 'active')
  if (active === undefined) throw new SigningKeysDamaged('none is active')
  return {
    signer: active.signer,
    // A Map and not an object: a kid from a token is looked up here, and `__proto__` must find nothing.
    verificationKeys: new Map(keys.map((key) => [key.verificationKey.kid, key.verificationKey])),
    jwks: jwksDocument(keys.map((key) => key.publicJwk)),
  }
}
