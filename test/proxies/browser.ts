import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import { buffer } from 'node:stream/consumers'
import type { Received } from '../support/programs/echo-backend.ts'

export type Answer = {
  readonly status: number
  readonly location: string | undefined
  /** A header of the answer; several of one name together. */
  readonly header: (name: string) => string | undefined
  readonly text: string
}

export type Question = {
  readonly method?: string
  /** As they are written on the wire: any spelling, any number of one name. */
  readonly headers?: readonly (readonly [name: string, value: string])[]
  readonly body?: string
  /** The `Host`, if another than the proxy's. */
  readonly host?: string
}

/** Sends what it is told and follows nothing: each step is for the test to see. */
export const ask = async (port: number, path: string, question: Question = {}): Promise<Answer> => {
  const { method = 'GET', headers = [], body, host = `127.0.0.1:${port}` } = question
  const isChunked = headers.some(([name]) => name === 'Transfer-Encoding')
  const sent = request({
    host: '127.0.0.1',
    port,
    path,
    method,
    agent: false,
    headers: [
      ['Host', host],
      ...(body === undefined || isChunked
        ? []
        : [['Content-Length', `${Buffer.byteLength(body)}`]]),
      ...headers,
    ].flat(),
  })
  const answered = once(sent, 'response')
  sent.end(body)
  const [response]: IncomingMessage[] = await answered
  if (!response) throw new Error('no answer came')
  const header = (name: string) => {
    const value = response.headers[name]
    return Array.isArray(value) ? value.join('\n') : value
  }
  const text = (await buffer(response)).toString()
  return { status: response.statusCode ?? 0, location: header('location'), header, text }
}

/** The status that the first line of a request gets, whatever stands in it, also what no client would send. */
export const statusOf = async (
  port: number,
  requestLine: string,
  headers: readonly string[],
): Promise<number> => {
  const socket = connect(port, '127.0.0.1')
  socket.write([requestLine, ...headers, 'Connection: close', '', ''].join('\r\n'), 'latin1')
  const answer = (await buffer(socket)).toString()
  return Number(/^HTTP\/1\.[01] (\d{3}) /.exec(answer)?.[1])
}

/** What came to the app: the proxy let the request pass. Fails the test when something else answered. */
export const receivedIn = (answer: Answer): Received => {
  if (!answer.text.startsWith('{"method"')) {
    throw new Error(`the app did not answer: ${answer.status} ${answer.text}`)
  }
  return JSON.parse(answer.text)
}

/** The values of a header that an app might take for this one: it may see `-`, `_` and `.` as the same, and never sees case. */
export const valuesOf = ({ headers }: Received, name: string): string[] => {
  const plain = (text: string) => text.toLowerCase().replaceAll(/[^a-z0-9]/g, '-')
  return headers.filter(([other]) => plain(other) === plain(name)).map(([, value]) => value)
}

export type Person = { readonly email: string; readonly password: string }

export type Browser = {
  /** As a click on a link: wants a page, and sends the cookies it has. */
  readonly open: (path: string, question?: Question) => Promise<Answer>
  /** As a script of a page, or any program: wants no page. */
  readonly fetch: (path: string, question?: Question) => Promise<Answer>
  /** From the address of the login page to where it leads. */
  readonly logIn: (loginPath: string, person: Person, formPath?: string) => Promise<Answer>
  readonly cookie: (name: string) => string | undefined
}

const hidden = (page: string, name: string): string => {
  const found = new RegExp(`name="${name}" value="([^"]*)"`).exec(page)
  if (found?.[1] === undefined) throw new Error(`the page has no field ${name}: ${page}`)
  return found[1]
}

/** A browser before a proxy: keeps cookies and speaks as one, and lets the test do the clicking. */
export const startBrowser = (port: number): Browser => {
  const jar = new Map<string, string>()
  const keep = (answer: Answer): Answer => {
    for (const line of answer.header('set-cookie')?.split('\n') ?? []) {
      const [pair = '', ...attributes] = line.split('; ')
      const place = pair.indexOf('=')
      if (attributes.includes('Max-Age=0')) jar.delete(pair.slice(0, place))
      else jar.set(pair.slice(0, place), pair.slice(place + 1))
    }
    return answer
  }
  const send = async (path: string, accept: string, question: Question = {}): Promise<Answer> => {
    const cookies = [...jar].map(([name, value]) => `${name}=${value}`).join('; ')
    const headers: (readonly [string, string])[] = [
      ['Accept', accept],
      ['Sec-Fetch-Site', 'same-origin'],
      ['User-Agent', 'a browser of the tests'],
      ...(cookies === '' ? [] : [['Cookie', cookies] as const]),
      ...(question.headers ?? []),
    ]
    return keep(await ask(port, path, { ...question, headers }))
  }
  const page = 'text/html,application/xhtml+xml,*/*;q=0.8'
  const open = (path: string, question?: Question) => send(path, page, question)
  return {
    open,
    fetch: (path, question) => send(path, 'application/json', question),
    logIn: async (loginPath, { email, password }, formPath = '/login/form') => {
      const form = (await open(loginPath)).text
      const fields = { form: hidden(form, 'form'), return: hidden(form, 'return') }
      return await open(formPath, {
        method: 'POST',
        headers: [['Content-Type', 'application/x-www-form-urlencoded']],
        body: new URLSearchParams({ email, password, ...fields }).toString(),
      })
    },
    cookie: (name) => jar.get(name),
  }
}
