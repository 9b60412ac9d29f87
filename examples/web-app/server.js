import Fastify from 'fastify'
import { askCardea, changeData, passCookies, sessionOf } from './cardea.js'
import { checkoutPage, confirmPage, loginPage, messagePage, shopPage } from './pages.js'

const origin = 'http://127.0.0.1:3001'

/** How old the last proof of the password may be for paying. */
const recentMs = 5 * 60_000

const app = Fastify()

app.removeAllContentTypeParsers()
app.addContentTypeParser(
  'application/x-www-form-urlencoded',
  { parseAs: 'string', bodyLimit: 8192 },
  (_request, body, done) => done(null, Object.fromEntries(new URLSearchParams(body))),
)

/**
 * Against forms on other people's pages (CSRF). The session cookie is SameSite=Lax, so a foreign *site* posts without it; that leaves
 * sibling subdomains, and a login with the attacker's account, which needs no cookie. Every browser says where a POST comes from;
 * what does not say "from here" is refused. GET changes nothing in this app.
 */
app.addHook('onRequest', async ({ method, headers }, reply) => {
  if (method === 'GET' || method === 'HEAD') return
  const site = headers['sec-fetch-site']
  const isOurs = site === undefined ? headers.origin === origin : site === 'same-origin'
  if (!isOurs) return reply.code(403).send(messagePage('That came from another site.'))
})

app.addHook('onRequest', async (_request, reply) => {
  reply.headers({
    'content-type': 'text/html; charset=utf-8',
    // A page of somebody logged in is nobody else's, nor the next user's of this browser.
    'cache-control': 'no-store',
    'content-security-policy':
      "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
  })
})

app.setErrorHandler((error, _request, reply) => {
  const status = error.statusCode ?? 500
  if (status === 503) reply.header('retry-after', '2')
  return reply
    .code(status)
    .send(messagePage(status === 503 ? 'Try again in a moment.' : 'That did not work.'))
})

/** Also of a POST without any body. */
const formOf = ({ body }) => body ?? {}

/** What is said of a password that was not accepted, with Cardea's status. */
const refuse = (answer, reply, pageOf) => {
  const seconds = answer.headers.get('retry-after')
  if (seconds) reply.header('retry-after', seconds)
  const message = answer.status === 429 ? `Too many attempts: wait ${seconds} s.` : 'That is wrong.'
  return reply.code(answer.status).send(pageOf(message))
}

app.get('/', async (request) => {
  const found = await sessionOf(request)
  return found ? shopPage(found) : loginPage()
})

app.post('/login', async (request, reply) => {
  const { email, password } = formOf(request)
  const body = { email, password, session: 'cookie' }
  const answer = await askCardea(request, 'POST', '/login', { body })
  if (answer.status !== 200) return refuse(answer, reply, loginPage)
  return passCookies(answer, reply).redirect('/', 303)
})

app.post('/logout', async (request, reply) => {
  const answer = await askCardea(request, 'POST', '/logout')
  return passCookies(answer, reply).redirect('/', 303)
})

app.post('/cart', async (request, reply) => {
  const { item = '' } = formOf(request)
  const status = await changeData(request, (data) => {
    const cart = new Map(Object.entries(data.cart ?? {}))
    return { ...data, cart: Object.fromEntries(cart.set(item, (cart.get(item) ?? 0) + 1)) }
  })
  if (status === 204 || status === 401) return reply.redirect('/', 303)
  const message = status === 413 ? 'The cart is full.' : 'That did not work.'
  return reply.code(status).send(messagePage(message))
})

const isRecent = ({ session }) => Date.now() - Date.parse(session.auth_time) < recentMs

app.get('/checkout', async (request, reply) => {
  const found = await sessionOf(request)
  if (!found) return reply.redirect('/', 303)
  return isRecent(found) ? checkoutPage() : confirmPage(found)
})

/** The password once more: the session gets a new cookie and a new auth_time, and the cookie from before is dead. */
app.post('/confirm', async (request, reply) => {
  const found = await sessionOf(request)
  if (!found) return reply.redirect('/', 303)
  const { password } = formOf(request)
  const answer = await askCardea(request, 'POST', '/session/reauthenticate', { body: { password } })
  if (!answer.ok) return refuse(answer, reply, (message) => confirmPage(found, message))
  return passCookies(answer, reply).redirect('/checkout', 303)
})

app.post('/checkout', async (request, reply) => {
  const found = await sessionOf(request)
  // Here too, not only where the form is shown: the form proves nothing.
  if (!found || !isRecent(found)) return reply.redirect('/checkout', 303)
  const status = await changeData(request, ({ cart: _paid, ...data }) => data)
  if (status !== 204) return reply.redirect('/', 303)
  return reply.send(messagePage('Thank you.'))
})

await app.listen({ port: 3001 })
