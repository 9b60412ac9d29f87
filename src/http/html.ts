/** Text that is HTML already: only what `html` made. */
export class Html {
  readonly #markup: string

  constructor(markup: string) {
    this.#markup = markup
  }

  toString(): string {
    return this.#markup
  }
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

const escapeText = (text: string): string =>
  text.replace(/[&<>"']/g, (character) => entities[character] ?? '')

const markupOf = (value: string | Html | undefined): string => {
  if (value === undefined) return ''
  return value instanceof Html ? value.toString() : escapeText(value)
}

/**
 * A template whose values are text unless they are `Html` themselves; `undefined` leaves nothing. Safe in the content of elements and
 * in attribute values in double quotes, and nowhere else: never put a value into a script, a style, or an attribute without quotes.
 */
export const html = (
  parts: TemplateStringsArray,
  ...values: readonly (string | Html | undefined)[]
): Html => new Html(parts.map((part, place) => `${part}${markupOf(values[place])}`).join(''))
