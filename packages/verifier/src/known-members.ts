/** The edit distance: letters to change, add or remove until both are equal. */
const distance = (one: string, other: string): number => {
  let above = Array.from({ length: other.length + 1 }, (_, place) => place)
  for (let row = 1; row <= one.length; row += 1) {
    const current = [row]
    for (let column = 1; column <= other.length; column += 1) {
      const isSame = one[row - 1] === other[column - 1]
      const [aside = 0, diagonal = 0, over = 0] = [
        current[column - 1],
        above[column - 1],
        above[column],
      ]
      current.push(Math.min(aside + 1, over + 1, diagonal + (isSame ? 0 : 1)))
    }
    above = current
  }
  return above.at(-1) ?? 0
}

/** `maxAuthAgeSeconds` for `maxAuthAge`, `issuer` for `isseur`, `id` for `client_id`. Undefined when no name is similar. */
const nearest = (name: string, names: readonly string[]): string | undefined => {
  const given = name.toLowerCase()
  const byDistance = names
    .map((known) => ({ known, far: distance(given, known.toLowerCase()) }))
    .toSorted((a, b) => a.far - b.far)
  const [closest] = byDistance
  if (closest && closest.far <= Math.max(1, Math.floor(name.length / 3))) return closest.known
  return names.find((known) => {
    const lower = known.toLowerCase()
    return given.length > 1 && (lower.includes(given) || given.includes(lower))
  })
}

/** The existing members, written as an object so that the compiler detects missing and extra ones. */
export type Names<Options> = Readonly<Record<keyof Options, true>>

/**
 * Refuses an unknown member. JavaScript would ignore it together with its requirement: a misspelt `role` would leave a route open to every
 * logged-in user.
 *
 * @param place the owner of the members, for the message
 * @throws {TypeError} that names the member, and the one that was probably meant
 */
export const refuseUnknown = (
  place: string,
  given: object | null | undefined,
  names: Readonly<Record<string, true>>,
): void => {
  for (const name of Object.keys(given ?? {})) {
    if (Object.hasOwn(names, name)) continue
    const known = Object.keys(names)
    const meant = nearest(name, known)
    const hint = meant === undefined ? `it has ${known.join(', ')}` : `did you mean ${meant}?`
    throw new TypeError(`${place} has no option ${name}; ${hint}`)
  }
}
