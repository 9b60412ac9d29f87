import { isIP } from 'node:net'
import type { Format, Parsed } from './setting.ts'

/** Decimal digits and nothing else: `Number()` would also take "1e3", "0x10", " 5" and "". */
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

/** Exactly one of the given words, case included. */
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

export const folder: Format<string> = { limits: 'folder', parse: (text) => ({ value: text }) }

const hostNameExpression = /^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/

/** An address or a name to listen on; no port, no brackets. */
export const listenHost: Format<string> = {
  limits: 'IP address or host name',
  parse: (text) =>
    isIP(text) !== 0 || hostNameExpression.test(text)
      ? { value: text }
      : { problem: 'must be an IP address or a host name, without port or brackets' },
}

/** A `StringOrURI` of RFC 7519 section 2; white space would be an accident of quoting, never meant. */
export const audienceName: Format<string> = {
  limits: 'name or URI without white space, up to 255 characters',
  parse: (text) =>
    /^[\x21-\x7e]{1,255}$/.test(text) && (!text.includes(':') || URL.canParse(text))
      ? { value: text }
      : { problem: 'must be printable ASCII without spaces, and a URI if it holds a colon' },
}

/** Items between commas, blanks around each ignored. An empty or a repeated item is a slip of the hand, so it is refused. */
export const listOf = <Value>(item: Format<Value>, most = 100): Format<readonly Value[]> => ({
  limits: `comma-separated list, up to ${most}, each: ${item.limits}`,
  parse: (text) => {
    const texts = text.split(',').map((part) => part.trim())
    if (texts.length > most) return { problem: `must not have more than ${most} items` }
    if (new Set(texts).size < texts.length) return { problem: 'must not hold an item twice' }
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
