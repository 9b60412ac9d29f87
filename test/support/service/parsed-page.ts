/** An element as it stands in a page of ours: names in lower case, every value in double quotes. */
export type PageElement = {
  readonly name: string
  readonly attributes: ReadonlyMap<string, string>
  /** The text directly inside, without that of elements in it. */
  readonly text: string
}

export type ParsedPage = {
  readonly elements: readonly PageElement[]
  readonly all: (name: string) => readonly PageElement[]
  /** Fails the test when there is not exactly one. */
  readonly one: (name: string) => PageElement
}

const voidElements = new Set(['meta', 'input', 'img'])
const token = /<(\/?)([a-z][a-z0-9]*)((?: [a-z-]+(?:="[^"<>]*")?)*)>|([^<>]+)/gy
const attribute = / ([a-z-]+)(?:="([^"]*)")?/g

const decoded = (text: string): string =>
  text
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&amp;', '&')

const attributesOf = (text: string): Map<string, string> => {
  const pairs = [...text.matchAll(attribute)].map(
    ([, name = '', value = '']) => [name, decoded(value)] as const,
  )
  const attributes = new Map(pairs)
  if (attributes.size < pairs.length) throw new Error(`an attribute comes twice in:${text}`)
  return attributes
}

type Node = {
  readonly name: string
  readonly attributes: Map<string, string>
  text: string
}

const opened = (name: string, attributes: string): Node => ({
  name,
  attributes: attributesOf(attributes),
  text: '',
})

/** Takes one piece of the page; `open` holds the elements that it stands in. */
const take = (match: RegExpExecArray, elements: Node[], open: Node[]): void => {
  const [, slash, name = '', attributes = '', text] = match
  if (text !== undefined) {
    const parent = open.at(-1)
    if (parent) parent.text += decoded(text)
    else if (text.trim() !== '') throw new Error(`text outside: ${text}`)
    return
  }
  if (slash === '/') {
    if (open.pop()?.name !== name) throw new Error(`</${name}> closes nothing`)
    return
  }
  const element = opened(name, attributes)
  elements.push(element)
  if (!voidElements.has(name)) open.push(element)
}

/**
 * Reads a page of ours and nothing else: a doctype, then elements that are all closed in order, nothing that a browser would have to
 * guess at. Throws on anything it does not expect, such as a value that got out of its quotes.
 */
export const parsePage = (page: string): ParsedPage => {
  const doctype = '<!doctype html>\n'
  if (!page.startsWith(doctype)) throw new Error('the page has no doctype')
  const elements: Node[] = []
  const open: Node[] = []
  const rest = page.slice(doctype.length)
  const piece = new RegExp(token)
  while (piece.lastIndex < rest.length) {
    const at = piece.lastIndex
    const match = piece.exec(rest)
    if (!match) throw new Error(`not well formed: ${rest.slice(at, at + 60)}`)
    take(match, elements, open)
  }
  if (open.length > 0) throw new Error(`<${open.at(-1)?.name}> is not closed`)
  const all = (name: string) => elements.filter((element) => element.name === name)
  const one = (name: string): PageElement => {
    const [first, ...others] = all(name)
    if (!first || others.length > 0) throw new Error(`not exactly one <${name}>`)
    return first
  }
  return { elements, all, one }
}
