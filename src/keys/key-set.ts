import type { KeyObject } from 'node:crypto'
import { importJWK } from 'jose'
import { AppError } from '../lib/app-error.ts'
import type { Clock } from '../lib/machine.ts'
import { shareNextRead } from '../lib/share-reads.ts'
import { keyErrors } from './errors.ts'
import { type JwksDocument, jwksDocument } from './jwks.ts'
import { maxKeySetAgeForSigningMs, servedUnreadMs, signsUnreadSlackMs } from './key-schedule.ts'
import { unsealPrivateKey } from './sealed-private-key.ts'
import type { DerivedKeys } from './secret-ring.ts'
import {
  type PublicJwk,
  publicJwkOf,
  rsaModulusBits,
  type Signer,
  type StoredSigningKey,
  type VerificationKey,
} from './signing-key.ts'
import type { SigningKeyStore } from './signing-key-store.ts'

/** The in-memory state derived from the rows. It is made as a whole, so that its parts never contradict each other. */
export type KeySet = {
  readonly signer: Signer
  readonly verificationKeys: ReadonlyMap<string, VerificationKey>
  readonly jwks: JwksDocument
  /** The rows that it was made from. */
  readonly rows: readonly StoredSigningKey[]
}

/** Rows that the service cannot have written. The start fails, so that an operator looks at them. */
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

/**
 * Cardea makes no weaker RSA keys, so one in the table was inserted by an attacker who has the secret: with a small exponent, others could
 * sign (FIPS 186-5 appendix A.1.1: odd, and more than 2^16).
 */
const assertStrong = ({ asymmetricKeyDetails }: KeyObject, kid: string): void => {
  const { modulusLength = rsaModulusBits, publicExponent = 65_537n } = asymmetricKeyDetails ?? {}
  if (modulusLength < rsaModulusBits || publicExponent < 65_537n || publicExponent % 2n === 0n) {
    throw new SigningKeysDamaged(`${kid} is too weak an RSA key`)
  }
}

const openKey = async (row: StoredSigningKey, sealingKeys: DerivedKeys): Promise<OpenKey> => {
  const { kid, algorithm } = row
  const privateKey = unsealPrivateKey(kid, row.sealedPrivate, sealingKeys)
  assertStrong(privateKey, kid)
  // Derived, not read: somebody who can write to the table but lacks the secret must not get their own key trusted.
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
    // A Map and not an object: the kid comes from a token, and `__proto__` must find nothing.
    verificationKeys: new Map(keys.map((key) => [key.verificationKey.kid, key.verificationKey])),
    jwks: jwksDocument(keys.map((key) => key.publicJwk)),
    rows,
  }
}

/**
 * Reads and decrypts all keys. Throws `WrongKeyEncryptionKey` when one cannot be decrypted, `SigningKeysDamaged` when one does not match
 * its row or none is active. A service that cannot sign, or trusts a key it did not make, must not start.
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
    // Equal ciphertext means the same key, so rereading twice a minute costs one statement and no cryptography.
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

export type CurrentKeySetOptions = {
  readonly load: () => Promise<KeySet>
  readonly clock: Clock
  /** Whether this process knows of the key's revocation from the log, which is faster than rereading the rows. */
  readonly isRevoked: (kid: string) => boolean
}

/** The key set of one process: read as a whole, replaced as a whole, and used only while it is recent enough. */
export type CurrentKeySet = {
  /**
   * Rereads the rows and uses them. Parallel calls share a read that begins after them. If it fails, the old set stays in use. Throws
   * `WrongKeyEncryptionKey`, `SigningKeysDamaged`, `store_unavailable`.
   */
  readonly read: () => Promise<KeySet>
  /** The last read set, whatever its age. */
  readonly known: () => KeySet | undefined
  /**
   * The current signer.
   * @throws signing_keys_unavailable when the keys could not be read for too long
   */
  readonly signer: () => Signer
  /**
   * Resolves when a signing key will be usable for the duration of a request; rereads when that is in doubt. Wait for it before consuming
   * anything that requires a signed response.
   * @throws signing_keys_unavailable, store_unavailable
   */
  readonly readyToSign: () => Promise<void>
  /**
   * The set to publish. A promise when it must be reread first, because it is old or contains a key that was revoked elsewhere. The promise
   * rejects with signing_keys_unavailable or store_unavailable.
   */
  readonly toServe: () => KeySet | Promise<KeySet>
}

const unavailable = (cause: unknown): AppError =>
  cause instanceof AppError
    ? cause
    : keyErrors.error('signing_keys_unavailable', { retryAfterSeconds: 5, cause })

const tooOld = () => unavailable(new Error('the keys were not read for too long'))

export const currentKeySet = ({ load, clock, isRevoked }: CurrentKeySetOptions): CurrentKeySet => {
  let held: { readonly keySet: KeySet; readonly readAtMs: number } | undefined

  const read = shareNextRead(async () => {
    // Taken before the statement: the result may be this old.
    const readAtMs = clock.monotonicMs()
    const keySet = await load()
    held = { keySet, readAtMs }
    return keySet
  })

  /** The set, if it was read no longer than this ago. This also catches a process that was stopped for hours. */
  const within = (limitMs: number): KeySet | undefined =>
    held && clock.monotonicMs() - held.readAtMs <= limitMs ? held.keySet : undefined

  /** A key of the set was revoked elsewhere, so the set is outdated however recent it is. */
  const holdsRevoked = ({ rows }: KeySet): boolean => rows.some(({ kid }) => isRevoked(kid))

  const readAgain = (): Promise<KeySet> =>
    read().catch((error: unknown) => {
      throw unavailable(error)
    })

  return {
    read,
    known: () => held?.keySet,
    signer: () => {
      const keySet = within(maxKeySetAgeForSigningMs + signsUnreadSlackMs)
      if (!keySet) throw tooOld()
      return keySet.signer
    },
    readyToSign: async () => {
      const keySet = within(maxKeySetAgeForSigningMs)
      if (keySet && !holdsRevoked(keySet)) return
      const { signer } = await readAgain()
      // This happens after a fail-over that lost the revocation, until the key is withdrawn again (`src/data-loss.ts`).
      if (isRevoked(signer.kid)) throw unavailable(new Error(`${signer.kid} is revoked and active`))
    },
    toServe: () => {
      const keySet = within(servedUnreadMs)
      return keySet && !holdsRevoked(keySet) ? keySet : readAgain()
    },
  }
}

/**
 * Checks that a signing key is available before it calls the function. Otherwise throws `signing_keys_unavailable`: a failure after a
 * refresh token was consumed would cause a retry that looks like theft.
 */
export const onceReadyToSign = <Input extends readonly unknown[], Output>(
  { readyToSign }: Pick<CurrentKeySet, 'readyToSign'>,
  act: (...input: Input) => Output | Promise<Output>,
) =>
  async function onceReadyToSign(...input: Input): Promise<Output> {
    await readyToSign()
    return act(...input)
  }
