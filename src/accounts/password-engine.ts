import type { Argon2Parameters } from './phc-string.ts'

/** One library that computes argon2id. All of them give the same bytes; they differ in CPU time. */
export type Argon2Engine = {
  /** The package: the log line of the start and `cardea doctor` say which one runs. */
  readonly name: string
  /**
   * Gives the tag, 32 bytes of argon2id version 19. Not a PHC string: the libraries order its parameters
   * differently, and the reference implementation reads one order only.
   */
  readonly hash: (password: Buffer, ingredients: HashIngredients) => Promise<Buffer>
  /** Computes with the parameters in the PHC string and compares in constant time. */
  readonly verify: (phc: string, password: Buffer, secret: Buffer | undefined) => Promise<boolean>
}

export type HashIngredients = {
  readonly cost: Argon2Parameters
  readonly salt: Buffer
  /** The value K of RFC 9106 section 3.1; never part of the PHC string. */
  readonly secret: Buffer | undefined
}
