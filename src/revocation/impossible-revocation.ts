/** A row that no version of this code can have written. */
export class ImpossibleRevocation extends Error {
  override readonly name = 'ImpossibleRevocation'
}
