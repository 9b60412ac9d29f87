import type { Format, Parsed } from './setting.ts'

/** Decimal digits only: `Number()` would also accept "1e3", "0x10", " 5" and "". */
const wholeNumberExpression = /^(0|[1-9][0-9]{0,14})$/

export const wholeNumber = (least: number, most: number): Format<number> => {
  const limits = `whole number, ${least} to ${most}`
  return {
    limits,
    parse: (text) => {
      const value = Number(text)
      const isInside = wholeNumberExpression.test(text) && value >= least && value <= most
      return isInside ? { value } : { problem: `must be a ${limits}` }
    },
  }
}

/** Exactly one of the given words, case-sensitive. */
export const oneOf = <const Word extends string>(words: readonly Word[]): Format<Word> => {
  const limits = words.join(', ')
  return {
    limits,
    parse: (text) => {
      const value = words.find((word) => word === text)
      return value === undefined ? { problem: `must be one of: ${limits}` } : { value }
    },
  }
}

export const trueOrFalse: Format<boolean> = {
  limits: 'true, false',
  parse: (text) =>
    text === 'true' || text === 'false'
      ? { value: text === 'true' }
      : { problem: 'must be true or false' },
}

/** Unchanged, including blanks. */
export const text: Format<string> = { limits: 'text', parse: (value) => ({ value }) }

export const folder: Format<string> = { limits: 'folder', parse: (text) => ({ value: text }) }

/** Checks only the name. `readLogoFile` checks that the file exists and can be read. */
export const imageFile: Format<string> = {
  limits: 'file whose name ends in .svg, .png, .webp, .jpg, .jpeg or .gif',
  parse: (text) =>
    /\.(?:svg|png|webp|jpe?g|gif)$/i.test(text)
      ? { value: text }
      : { problem: 'must name a file that ends in .svg, .png, .webp, .jpg, .jpeg or .gif' },
}

/** Shown to people as text, so any script and language is allowed. Invisible characters would be misleading. */
export const serviceName: Format<string> = {
  limits: 'text of one line, up to 60 characters',
  parse: (text) =>
    [...text].length <= 60 &&
    !/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(text) &&
    text.trim() === text
      ? { value: text }
      : { problem: 'must be one line of up to 60 visible characters, without blanks at its ends' },
}

/** A `StringOrURI` of RFC 7519 section 2. White space would come from a quoting mistake. */
export const audienceName: Format<string> = {
  limits: 'name or URI without white space, up to 255 characters',
  parse: (text) =>
    /^[\x21-\x7e]{1,255}$/.test(text) && (!text.includes(':') || URL.canParse(text))
      ? { value: text }
      : { problem: 'must be printable ASCII without spaces, and a URI if it contains a colon' },
}

/** Items separated by commas; surrounding blanks are ignored. An empty or a repeated item is a typing mistake, so it is refused. */
export const listOf = <Value>(item: Format<Value>, most = 100): Format<readonly Value[]> => ({
  limits: `comma-separated list, up to ${most}, each: ${item.limits}`,
  parse: (text) => {
    const texts = text.split(',').map((part) => part.trim())
    if (texts.length > most) return { problem: `must not have more than ${most} items` }
    if (new Set(texts).size < texts.length) return { problem: 'must not contain an item twice' }
    return parseAll(texts, item)
  },
})

const parseAll = <Value>(
  texts: readonly string[],
  item: Format<Value>,
): Parsed<readonly Value[]> => {
  const values: Value[] = []
  for (const [index, text] of texts.entries()) {
    if (text === '') return { problem: `item ${index + 1} is empty` }
    const parsed = item.parse(text)
    if ('problem' in parsed) return { problem: `item ${index + 1} ${parsed.problem}` }
    values.push(parsed.value)
  }
  return { value: values }
}
