/** As much of a browser as a page without script needs: keeps cookies, sends forms, follows redirects. */

export type Page = {
  readonly status: number
  readonly text: string
  readonly headers: Headers
}

export type ExampleBrowser = {
  readonly open: (path: string) => Promise<Page>
  readonly submit: (path: string, form?: Readonly<Record<string, string>>) => Promise<Page>
  /** The names of the cookies it holds. */
  readonly cookieNames: () => string[]
  /** Another browser with the cookies of this moment, which does not hear of what comes; for another address if one is given. */
  readonly copy: (address?: string) => ExampleBrowser
}

type Jar = Map<string, string>

const keepCookies = (jar: Jar, headers: Headers): void => {
  for (const line of headers.getSetCookie()) {
    const [pair = '', ...attributes] = line.split('; ')
    const name = pair.slice(0, pair.indexOf('='))
    if (attributes.includes('Max-Age=0')) jar.delete(name)
    else jar.set(name, pair.slice(name.length + 1))
  }
}

export const exampleBrowser = (address: string, jar: Jar = new Map()): ExampleBrowser => {
  const cookieHeader = () => [...jar].map(([name, value]) => `${name}=${value}`).join('; ')
  const request = async (path: string, more: RequestInit, headers = {}): Promise<Response> => {
    const answer = await fetch(address + path, {
      ...more,
      redirect: 'manual',
      headers: { cookie: cookieHeader(), 'user-agent': 'a browser of the tests', ...headers },
    })
    keepCookies(jar, answer.headers)
    return answer
  }
  const pageOf = async (answer: Response): Promise<Page> => {
    const { status, headers } = answer
    const text = await answer.text()
    const location = headers.get('location')
    if (status !== 303 || location === null) return { status, headers, text }
    return pageOf(await request(location, {}))
  }
  return {
    open: async (path) => pageOf(await request(path, {})),
    submit: async (path, form = {}) => {
      const body = new URLSearchParams(form)
      const headers = { 'sec-fetch-site': 'same-origin' }
      return pageOf(await request(path, { method: 'POST', body }, headers))
    },
    cookieNames: () => [...jar.keys()],
    copy: (other = address) => exampleBrowser(other, new Map(jar)),
  }
}
