import { type ParsedPage, parsePage } from './parsed-page.ts'

export type BrowserAnswer = {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** Fails the test when the answer is no page. */
  readonly page: () => ParsedPage
}

/** As much of a browser as a form needs: it keeps cookies, says who it is as browsers do, and sends what the page holds. */
export type FormBrowser = {
  readonly cookies: Map<string, string>
  readonly open: (
    path: string,
    headers?: Readonly<Record<string, string>>,
  ) => Promise<BrowserAnswer>
  /** Sends the form of a page, with these fields filled in. A box is sent if it is ticked; `undefined` takes the tick away. */
  readonly submit: (
    page: ParsedPage,
    fields: Readonly<Record<string, string | undefined>>,
    headers?: Readonly<Record<string, string>>,
  ) => Promise<BrowserAnswer>
}

const navigation = {
  accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8',
  'sec-fetch-mode': 'navigate',
  'sec-fetch-dest': 'document',
}

/** Redirects are not followed: a test looks where they lead. */
export const formBrowser = (address: string): FormBrowser => {
  const cookies = new Map<string, string>()
  const keep = (headers: Headers): void => {
    for (const line of headers.getSetCookie()) {
      const [pair = ''] = line.split(';')
      const [name = '', value = ''] = pair.split('=')
      if (/; Max-Age=0(;|$)/i.test(line)) cookies.delete(name)
      else cookies.set(name, value)
    }
  }
  const send = async (path: string, init: RequestInit): Promise<BrowserAnswer> => {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const headers = { ...navigation, ...(cookie && { cookie }), ...init.headers }
    const response = await fetch(`${address}${path}`, { ...init, headers, redirect: 'manual' })
    keep(response.headers)
    const text = await response.text()
    return {
      status: response.status,
      headers: response.headers,
      text,
      page: () => {
        const type = response.headers.get('content-type')
        if (type !== 'text/html; charset=utf-8')
          throw new Error(`${response.status} ${type}: ${text}`)
        return parsePage(text)
      },
    }
  }
  return {
    cookies,
    open: (path, headers = {}) => send(path, { headers: { 'sec-fetch-site': 'none', ...headers } }),
    submit: (page, fields, headers = {}) => {
      const form = page.one('form').attributes
      const given = page
        .all('input')
        .filter(
          ({ attributes }) => attributes.get('type') !== 'checkbox' || attributes.has('checked'),
        )
        .map(({ attributes }) => [attributes.get('name') ?? '', attributes.get('value') ?? ''])
      const body = new URLSearchParams()
      for (const [name, value] of Object.entries({ ...Object.fromEntries(given), ...fields })) {
        if (typeof value === 'string') body.set(name, value)
      }
      const method = (form.get('method') ?? 'get').toUpperCase()
      const said = { 'sec-fetch-site': 'same-origin', origin: 'null', ...headers }
      return send(form.get('action') ?? '', { method, body, headers: said })
    },
  }
}
