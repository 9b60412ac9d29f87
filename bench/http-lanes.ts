import { type Connection, expectOk, openConnection, requestText } from './http-connection.ts'
import type { Lane } from './sample.ts'

/** One connection per lane, closed at the end of `use`. */
export const withConnections = async <Result>(
  address: string,
  count: number,
  use: (connections: readonly Connection[]) => Promise<Result>,
): Promise<Result> => {
  const connections: Connection[] = []
  try {
    for (let made = 0; made < count; made += 1) connections.push(await openConnection(address))
    return await use(connections)
  } finally {
    for (const connection of connections) connection.close()
  }
}

export const getLane = (
  connection: Connection,
  path: string,
  headers: readonly string[] = [],
): Lane => {
  const request = requestText('GET', path, headers)
  return async () => expectOk(await connection.exchange(request))
}

const refreshCookie = '__Host-cardea-refresh'

/** The value of the cookie with this name that the head of a response sets. */
export const cookieIn = (head: string, name: string): string => {
  const cookieStart = `set-cookie: ${name}=`
  const start = head.indexOf(cookieStart) + cookieStart.length
  const end = head.indexOf(';', start)
  if (start < cookieStart.length || end < 0) throw new Error(`the answer does not set ${name}`)
  return head.slice(start, end)
}

/** Refreshes the session whose handle is at `place`, and stores its new handle there. Returns the body of the response. */
export const refreshAt = async (
  connection: Connection,
  handles: string[],
  place: number,
): Promise<string> => {
  const cookie = `cookie: ${refreshCookie}=${handles[place]}`
  const answer = await connection.exchange(requestText('POST', '/refresh', [cookie]))
  expectOk(answer)
  handles[place] = cookieIn(answer.head, refreshCookie)
  return answer.body
}

/** Refreshes the sessions whose handles are at `own`, in turn and repeatedly. */
export const refreshLane = (
  connection: Connection,
  handles: string[],
  own: readonly number[],
): Lane => {
  let turn = 0
  return async () => {
    const place = own[turn % own.length] ?? 0
    turn += 1
    await refreshAt(connection, handles, place)
  }
}

/** Distributes `count` places to `lanes`, so that two lanes never use the same session. */
export const deal = (count: number, lanes: number, lane: number): number[] =>
  Array.from({ length: count }, (_, place) => place).filter((place) => place % lanes === lane)

/** Logs in with the next of this lane's accounts each time. */
export const loginLane = (connection: Connection, bodies: readonly string[]): Lane => {
  let turn = 0
  return async () => {
    const body = bodies[turn % bodies.length] ?? ''
    turn += 1
    expectOk(await connection.exchange(requestText('POST', '/login', [], body)))
  }
}
