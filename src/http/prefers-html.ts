/** A weight of RFC 9110 section 12.4.2; what is no number counts as nothing. */
const weight = /^\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*$/i

const qualityOf = (accept: string, mediaType: string): number => {
  const range = accept
    .split(',')
    .map((text) => text.split(';'))
    .find(([name = '']) => name.trim().toLowerCase() === mediaType)
  if (range === undefined) return 0
  const parameter = range.slice(1).find((text) => /^\s*q\s*=/i.test(text))
  return parameter === undefined ? 1 : Number(weight.exec(parameter)?.[1] ?? 0)
}

/**
 * Whether a page is wanted, as browsers say when somebody goes to an address: `text/html` by name, and no less than JSON. The wildcard
 * that programs and a page's own requests send asks for no page.
 */
export const prefersHtml = (accept = ''): boolean => {
  const html = qualityOf(accept, 'text/html')
  return html > 0 && html >= qualityOf(accept, 'application/json')
}
