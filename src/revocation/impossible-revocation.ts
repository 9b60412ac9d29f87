/** A row that no version of this code can have written. */
export class ImpossibleRevocation extends Error {
  override readonly name = 'ImpossibleRevocation'
}

const mostNamed = 10

/** Names rows that somebody wrote by hand, or a damaged back-up brought back. */
export const malformedRevocations = (rows: readonly string[]): ImpossibleRevocation => {
  const names = rows.slice(0, mostNamed).map((row) => JSON.stringify(row.slice(0, 80)))
  const more = rows.length > mostNamed ? ` and ${rows.length - mostNamed} more` : ''
  return new ImpossibleRevocation(
    `${names.join(', ')}${more}: what these rows were to revoke may still be accepted; revoke it again and delete them`,
  )
}
