/** What this app asks of Cardea, always in the name of the browser whose request it is answering. */

const cardea = 'http://127.0.0.1:8088'

/** Cardea's own two; what else the browser sends is none of its business. */
const cookieNames = ['__Host-cardea-session', '__Host-cardea-device']

const cookiesOf = ({ headers: { cookie = '' } }) =>
  cookie
    .split(/; */)
    .filter((pair) => cookieNames.includes(pair.split('=', 1)[0]))
    .join('; ')

/** No verdict: Cardea is away or busy. Nobody is logged out for that; the person tries again, with the same cookie. */
const away = (cause) =>
  Object.assign(new Error('Cardea cannot answer now', { cause }), { statusCode: 503 })

/**
 * Sends a request to Cardea and resolves with whatever it answers, but for 5xx.
 *
 * The address in `x-forwarded-for` lets Cardea count failed logins by visitor and not by this app. It believes that
 * only from an address in its TRUSTED_PROXIES.
 */
export const askCardea = async (request, method, path, { body, ifMatch } = {}) => {
  const cookie = cookiesOf(request)
  const answer = await fetch(cardea + path, {
    method,
    headers: {
      'content-type': 'application/json',
      ...(cookie && { cookie }),
      'user-agent': request.headers['user-agent'] ?? 'unknown',
      'x-forwarded-for': request.ip,
      ...(ifMatch && { 'if-match': ifMatch }),
    },
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(5000),
  }).catch((error) => {
    throw away(error)
  })
  if (answer.status >= 500) throw away(`${method} ${path}: ${answer.status}`)
  return answer
}

/** Cardea's cookies become cookies of this app: `__Host-` ones belong to the host that answers, so they must pass through it. */
export const passCookies = (answer, reply) =>
  reply.header('set-cookie', answer.headers.getSetCookie())

/** Who is logged in: `{ account, session, data, etag }`, or undefined for nobody (any more). */
export const sessionOf = async (request) => {
  if (!cookiesOf(request).includes(`${cookieNames[0]}=`)) return undefined
  const answer = await askCardea(request, 'GET', '/session')
  if (answer.status === 401) return undefined
  if (answer.status !== 200) throw new Error(`Cardea answered ${answer.status}`)
  return { ...(await answer.json()), etag: answer.headers.get('etag') }
}

/**
 * Reads the session's data, writes what `change` makes of it, and starts over when another tab wrote in between: with
 * If-Match neither of the two is lost. Resolves with Cardea's status: 204 done, 401 logged out, 413 over 4 KiB.
 */
export const changeData = async (request, change) => {
  for (let attempt = 1; attempt <= 10; attempt += 1) {
    const found = await sessionOf(request)
    if (!found) return 401
    const { status } = await askCardea(request, 'PUT', '/session/data', {
      body: change(found.data),
      ifMatch: found.etag,
    })
    if (status !== 412) return status
  }
  throw away('ten others were faster')
}
