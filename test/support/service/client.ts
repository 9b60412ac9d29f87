/** A client over real HTTP. Keeps no cookies: a test says which handle it presents. */

const refreshCookieName = '__Host-cardea-refresh'

const sessionCookieName = '__Host-cardea-session'

export type Answer = {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The parsed body; undefined when it is empty or not JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: a test asserts on whatever came
  readonly body: any
  /** The value of the refresh cookie that the answer sets; empty when it clears it; undefined when it says nothing. */
  readonly refreshCookie: string | undefined
  /** Likewise of the session cookie. */
  readonly sessionCookie: string | undefined
}

export type LoggedIn = Answer & { readonly accessToken: string; readonly refreshToken: string }

export type RequestOptions = {
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly token?: string
  /** Sent as the refresh cookie. */
  readonly handle?: string
  /** Sent as the session cookie. */
  readonly session?: string
  /** Gives up, and closes the connection, as a client does that has waited long enough. */
  readonly signal?: AbortSignal
}

export type Client = {
  readonly address: string
  readonly send: (method: string, path: string, options?: RequestOptions) => Promise<Answer>
  readonly get: (path: string, options?: RequestOptions) => Promise<Answer>
  readonly post: (path: string, options?: RequestOptions) => Promise<Answer>
  /** Logs in and fails the test when that is refused. */
  readonly logIn: (
    who: { readonly email: string; readonly password: string },
    more?: Readonly<Record<string, unknown>>,
  ) => Promise<LoggedIn>
  /** Logs in for a session that is kept by a cookie, whose value it returns; fails the test when that is refused. */
  readonly logInForCookie: (
    who: { readonly email: string; readonly password: string },
    options?: RequestOptions,
  ) => Promise<string>
  /** Presents a refresh cookie. */
  readonly refresh: (handle: string) => Promise<Answer>
  /** Presents a refresh token in the body. */
  readonly refreshByBody: (refreshToken: string) => Promise<Answer>
}

const setCookie = (headers: Headers, name: string): string | undefined => {
  const start = `${name}=`
  const line = headers.getSetCookie().find((cookie) => cookie.startsWith(start))
  return line?.slice(start.length).split(';')[0]
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const cookieHeader = ({ handle, session }: RequestOptions): Record<string, string> => {
  const cookies = [
    ...(handle === undefined ? [] : [`${refreshCookieName}=${handle}`]),
    ...(session === undefined ? [] : [`${sessionCookieName}=${session}`]),
  ]
  return cookies.length === 0 ? {} : { cookie: cookies.join('; ') }
}

const requestHeaders = (options: RequestOptions, isUnsafe: boolean): Record<string, string> => ({
  ...(isUnsafe && { 'content-type': 'application/json' }),
  ...(options.token !== undefined && { authorization: `Bearer ${options.token}` }),
  ...cookieHeader(options),
  ...options.headers,
})

export const httpClient = (address: string): Client => {
  const send = async (
    method: string,
    path: string,
    options: RequestOptions = {},
  ): Promise<Answer> => {
    const isUnsafe = method !== 'GET' && method !== 'HEAD'
    const raw = typeof options.body === 'string' ? options.body : JSON.stringify(options.body)
    const response = await fetch(`${address}${path}`, {
      method,
      headers: requestHeaders(options, isUnsafe),
      redirect: 'manual',
      ...(options.body !== undefined && { body: raw }),
      ...(options.signal && { signal: options.signal }),
    })
    const text = await response.text()
    const { status, headers } = response
    return {
      status,
      headers,
      text,
      body: parse(text),
      refreshCookie: setCookie(headers, refreshCookieName),
      sessionCookie: setCookie(headers, sessionCookieName),
    }
  }
  const post = (path: string, options?: RequestOptions) => send('POST', path, options)
  return {
    address,
    send,
    post,
    get: (path, options) => send('GET', path, options),
    refresh: (handle) => post('/refresh', { handle }),
    refreshByBody: (refresh_token) => post('/refresh', { body: { refresh_token } }),
    logInForCookie: async ({ email, password }, options = {}) => {
      const body = { email, password, session: 'cookie' }
      const answer = await post('/login', { ...options, body })
      if (!answer.sessionCookie) throw new Error(`login answered ${answer.status}: ${answer.text}`)
      return answer.sessionCookie
    },
    logIn: async ({ email, password }, more = {}) => {
      const answer = await post('/login', { body: { email, password, ...more } })
      if (answer.status !== 200) throw new Error(`login answered ${answer.status}: ${answer.text}`)
      const refreshToken = answer.refreshCookie ?? answer.body.refresh_token
      return { ...answer, accessToken: answer.body.access_token, refreshToken }
    },
  }
}
