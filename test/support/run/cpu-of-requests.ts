import { once } from 'node:events'
import { Agent, request as httpRequest } from 'node:http'

/** Requests are compared by the CPU time of this process, which is server and client at once. Waiting and other processes do not count. */

export type Sent = {
  readonly method: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

/** What parsers have to look at again and again when there is much of it: blanks, and what separates, opens, closes and escapes. */
export const fragments: readonly string[] = [
  ...[' ', '\t', 'a', '0', '\xe9', '=', ';', ',', '"', '\\', '/', '.', '%20', '&', '[', ':'],
  ...['a=', ' ;', '\\"', '..%2f', '::1,'],
]

/** `fragment` repeated to `length` characters. The last one is of another kind: where it comes, a match that began long before fails. */
export const run = (fragment: string, length: number): string =>
  `${fragment.repeat(Math.ceil(length / fragment.length)).slice(0, length - 1)}!`

export type Sender = {
  /** The status, once the response has been read. */
  readonly send: (sent: Sent) => Promise<number>
  readonly close: () => void
}

/** Sends requests one after the other to a server in this process. */
export const senderTo = (address: string): Sender => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const send = async ({ method, path, headers = {}, body }: Sent): Promise<number> => {
    const { hostname, port } = new URL(address)
    const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body, 'latin1') }
    const request = httpRequest({
      ...{ agent, hostname, port, method, path },
      headers: { ...headers, ...length },
    })
    request.end(body, 'latin1')
    const [response] = await once(request, 'response')
    response.resume()
    await once(response, 'end')
    return response.statusCode
  }
  return { send, close: () => agent.destroy() }
}

const cpuMsOf = async (work: () => Promise<unknown>): Promise<number> => {
  const before = process.cpuUsage()
  await work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

const plainRequests = 30
const tries = 5

/**
 * A request of 15 KB costs 1-6 times as much as a plain one. One that is read in quadratic time costs several hundred times as much: two
 * nanoseconds for each pair of characters are 200 ms.
 */
const maxTimes = 30

export type Costly = { readonly request: string; readonly times: number }

/**
 * Those of `attacks` that cost many times the CPU of `plain`. Only ratios within one run count, so a slow machine changes nothing. What
 * seems costly is tried again: garbage collection hits a request now and then, a slow algorithm is slow every time.
 */
export const costlyRequests = async (
  { send }: Sender,
  plain: Sent,
  attacks: ReadonlyMap<string, Sent>,
): Promise<Costly[]> => {
  const costs: number[] = []
  for (let count = 0; count < plainRequests; count += 1)
    costs.push(await cpuMsOf(() => send(plain)))
  const plainMs = costs.sort((a, b) => a - b)[plainRequests / 2] ?? 0
  const costly: Costly[] = []
  for (const [request, sent] of attacks) {
    let times = Number.POSITIVE_INFINITY
    for (let count = 0; count < tries && times > maxTimes; count += 1) {
      times = Math.min(times, (await cpuMsOf(() => send(sent))) / plainMs)
    }
    if (times > maxTimes) costly.push({ request, times: Math.round(times) })
  }
  return costly
}
