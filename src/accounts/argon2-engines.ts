import type { Argon2Engine, HashIngredients } from './password-engine.ts'

const tagBytes = 32

// Neither library takes `undefined` for "no secret".
const secretOption = (secret: Buffer | undefined) => (secret ? { secret } : {})

const costOptions = ({ cost, salt, secret }: HashIngredients) => ({
  memoryCost: cost.memoryKib,
  timeCost: cost.passes,
  parallelism: cost.lanes,
  salt,
  ...secretOption(secret),
})

/** The `argon2` package: the reference implementation in C, always installed. */
export const loadArgon2Package = async (): Promise<Argon2Engine> => {
  const { argon2id, hash, verify } = await import('argon2')
  return {
    name: 'argon2',
    hash: (password, ingredients) =>
      hash(password, {
        ...costOptions(ingredients),
        type: argon2id,
        hashLength: tagBytes,
        raw: true,
      }),
    verify: (phc, password, secret) => verify(phc, password, secretOption(secret)),
  }
}

/** The `@node-rs/argon2` package: 2-3 times less CPU for the same bytes. Its default algorithm is argon2id, version 19. */
export const loadNodeRsArgon2 = async (): Promise<Argon2Engine> => {
  const { hashRaw, verify } = await import('@node-rs/argon2')
  return {
    name: '@node-rs/argon2',
    hash: (password, ingredients) =>
      hashRaw(password, { ...costOptions(ingredients), outputLen: tagBytes }),
    verify: (phc, password, secret) => verify(phc, password, secretOption(secret)),
  }
}

/**
 * The fastest argon2 that is installed. `@node-rs/argon2` is an optional dependency whose binary may be
 * missing on a platform; any failure to load it falls back to `argon2`, whose own failure is thrown. The
 * engine's `name` says which one it became.
 */
export const loadArgon2 = async (): Promise<Argon2Engine> => {
  try {
    return await loadNodeRsArgon2()
  } catch {
    return await loadArgon2Package()
  }
}
