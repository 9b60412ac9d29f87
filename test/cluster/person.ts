import { setTimeout as pause } from 'node:timers/promises'
import { seeded } from '../support/run/seeded.ts'
import {
  type Answer,
  type Client,
  httpClient,
  type RequestOptions,
} from '../support/service/client.ts'
import { postForm } from '../support/service/service-client.ts'
import type { Held, Record } from './record.ts'

type Handle = string

/** How a client keeps its session: what it asks for at login, and how it presents its handle. */
type Style = {
  readonly login: object
  readonly present: (client: Client, handle: Handle, options: RequestOptions) => Promise<Answer>
  /** The handle in a response; undefined when it sets none. */
  readonly handleIn: (answer: Answer) => Handle | undefined
}

const styles = {
  browser: {
    login: {},
    present: (client, handle, options) => client.post('/refresh', { ...options, handle }),
    handleIn: ({ refreshCookie }) => refreshCookie,
  },
  sealed: {
    login: { session: 'sealed' },
    present: (client, handle, options) => client.post('/refresh', { ...options, handle }),
    handleIn: ({ refreshCookie }) => refreshCookie,
  },
  native: {
    login: { delivery: 'body' },
    present: (client, refresh_token, options) =>
      client.post('/refresh', { ...options, body: { refresh_token } }),
    handleIn: ({ body }) => body?.refresh_token,
  },
  oauth: {
    login: { delivery: 'body' },
    present: (client, refresh_token, options) =>
      postForm(
        client,
        '/oauth/token',
        undefined,
        { grant_type: 'refresh_token', refresh_token },
        options,
      ),
    handleIn: ({ body }) => body?.refresh_token,
  },
  cookie: {
    login: { session: 'cookie' },
    present: (client, session, options) => client.get('/session', { ...options, session }),
    handleIn: ({ sessionCookie }) => sessionCookie,
  },
} as const satisfies { readonly [name: string]: Style }

export type StyleName = keyof typeof styles

export type Account = { readonly id: string; readonly email: string; readonly password: string }

export type PersonOptions = {
  readonly name: string
  readonly account: Account
  readonly style: StyleName
  /** Of one browser, with one cookie jar. */
  readonly tabs: 1 | 2
  /** Gives up at the first failure, and comes back 15 s later with the handle of before. */
  readonly leaves: boolean
  /** Now and then the machine forgets a response, as a browser does that is killed before it has written its cookies. */
  readonly forgets: boolean
  readonly addresses: readonly string[]
  readonly record: Record
}

/** What a client makes of a response. */
type Verdict =
  | { readonly kind: 'served'; readonly answer: Answer }
  | { readonly kind: 'refused'; readonly why: string }
  | { readonly kind: 'away'; readonly afterMs: number }

/** How long a client waits for a response before it closes the connection. */
const patienceMs = 5_000

const absenceMs = 15_000

/** Whoever is not served so long after the end of the trial, when nothing is broken any more, is stuck; a busy machine is not. */
const stuckAfterMs = 120_000

const verdictOn = (answer: Answer | undefined, record: Record): Verdict => {
  if (!answer) return { kind: 'away', afterMs: 1_000 }
  const { status, body, text, headers } = answer
  if (status === 200) return { kind: 'served', answer }
  if (status === 401 || body?.error === 'invalid_grant') {
    const { code = body?.error, reason = '' } = body ?? {}
    return { kind: 'refused', why: `${status} ${code ?? text} ${reason}`.trim() }
  }
  if (status !== 503) record.wrong('unexpected', `${status} ${text}`)
  return { kind: 'away', afterMs: Number(headers.get('retry-after') ?? 1) * 1_000 }
}

export type Person = ReturnType<typeof createPerson>

/** A client that does what the guides say, with a handle of its own. Logs in again when it is logged out. */
export const createPerson = (options: PersonOptions) => {
  const { name, account, tabs, leaves, forgets, record } = options
  const style: Style = styles[options.style]
  const clients = options.addresses.map(httpClient)
  const { next } = seeded()
  let handle: Handle = ''
  let held: Held | undefined
  /** Nobody begins a long absence after this. */
  let lastLeaveMs = 0
  let finishedMs = Number.POSITIVE_INFINITY
  let isAccountInDoubt = false
  let turn = 0
  /** For the note on a mistake: what went wrong last. */
  let trouble = { what: 'none', sinceMs: 0 }
  let resting: Promise<unknown> = Promise.resolve()

  const suffer = (what: string) => {
    trouble = { what, sinceMs: performance.now() }
  }

  const isOverdue = () => performance.now() > finishedMs + stuckAfterMs

  const mayLeave = () => performance.now() < lastLeaveMs

  const isFinished = () => performance.now() > finishedMs

  /** A response, or nothing when none arrived in time. */
  const send = (
    place: number,
    request: (client: Client, signal: AbortSignal) => Promise<Answer>,
  ): Promise<Answer | undefined> =>
    request(clients[place % clients.length]!, AbortSignal.timeout(patienceMs)).catch(
      () => undefined,
    )

  /** Tries one process after the other until there is a verdict; undefined when it gives up. */
  const insist = async (
    request: (client: Client, signal: AbortSignal) => Promise<Answer>,
    givesUp: boolean,
  ): Promise<Exclude<Verdict, { kind: 'away' }> | undefined> => {
    for (let place = next(clients.length); ; place += 1) {
      const answer = await send(place, request)
      const verdict = verdictOn(answer, record)
      if (verdict.kind !== 'away') return verdict
      suffer(`${answer?.status ?? 'nothing'} from process ${(place % clients.length) + 1}`)
      record.add('retries')
      if (givesUp) return undefined
      if (isOverdue()) {
        record.wrongOnce('stuck', name, `${name} is not served`)
        return undefined
      }
      await pause(verdict.afterMs + next(250))
    }
  }

  const keep = (answer: Answer) => {
    handle = style.handleIn(answer) || handle
    const token = answer.body?.access_token
    if (token && held) record.issued(held, token)
  }

  const logIn = async () => {
    held = undefined
    const body = { email: account.email, password: account.password, ...style.login }
    const verdict = await insist((client, signal) => client.post('/login', { body, signal }), false)
    if (verdict?.kind === 'refused') record.wrong('stuck', `${name} cannot log in: ${verdict.why}`)
    if (verdict?.kind !== 'served') return
    const { session_id: sid } = verdict.answer.body
    held = { sid, person: name, isAsked: isAccountInDoubt, committedMs: undefined, isOver: false }
    keep(verdict.answer)
  }

  const loggedOut = async (from: Held, why: string) => {
    const ago = ((performance.now() - trouble.sinceMs) / 1_000).toFixed(1)
    const before = `${trouble.what} ${ago} s before`
    if (!from.isAsked) record.wrong('logOuts', `${name} (${options.style}): ${why}; ${before}`)
    record.isOver(from)
    await logIn()
  }

  /** A session that has ended for certain refreshes no more; cookies of one may be taken for the bound. */
  const checkNotDead = (from: Held, sentMs: number) => {
    const allowedMs = options.style === 'cookie' ? 5_000 : 0
    if (from.committedMs === undefined || sentMs <= from.committedMs + allowedMs) return
    const text = `a session of ${name} went on after its revocation`
    record.wrongOnce('deadAccepted', from.sid, text)
  }

  type Ending = { readonly how: 'served' | 'gone' } | { readonly how: 'refused'; why: string }

  /** One page of the browser: reads the jar each time, and writes to it whatever comes back. */
  const inOneTab = async (
    from: Held,
    isForgotten: boolean,
    request: Style['present'],
  ): Promise<Ending> => {
    const dueMs = performance.now()
    let sentMs = dueMs
    const verdict = await insist((client, signal) => {
      sentMs = performance.now()
      return request(client, handle, { signal })
    }, leaves && mayLeave())
    if (!verdict) return { how: 'gone' }
    if (verdict.kind === 'refused') return { how: 'refused', why: verdict.why }
    checkNotDead(from, sentMs)
    record.served(dueMs)
    if (!isForgotten) keep(verdict.answer)
    return { how: 'served' }
  }

  /** The next request of this client: a refresh, a look-up, or a step-up. */
  const requestOfTurn = (): Style['present'] => {
    turn += 1
    if (options.style !== 'cookie' || turn % 6 !== 0) return style.present
    return (client, session, more) =>
      client.post('/session/reauthenticate', {
        ...more,
        session,
        body: { password: account.password },
      })
  }

  const stayAway = async () => {
    record.add('returns')
    await pause(absenceMs)
  }

  /** All tabs do the same at the same time, as they do when their access token is over; the next time comes when all are done. */
  const once = async () => {
    const from = held
    if (!from) return await logIn()
    const isLate = next(2) === 0 && mayLeave()
    const isForgotten = forgets && !isFinished() && next(40) === 0
    const request = requestOfTurn()
    const endings = await Promise.all(
      Array.from({ length: tabs }, () => inOneTab(from, isForgotten, request)),
    )
    const refusal = endings.find((ending) => ending.how === 'refused')
    if (refusal) return await loggedOut(from, refusal.why)
    if (isForgotten) {
      record.add('lost')
      suffer('forgot a response')
      if (!isLate) await pause(500 + next(3_000))
    }
    const isGone = endings.some(({ how }) => how === 'gone')
    if (isGone || (isForgotten && isLate)) await stayAway()
  }

  /** As an app does: the person's own token at a route of the service. */
  const useToken = async () => {
    const token = held && record.newestOf(held)
    if (!token) return
    const place = next(clients.length)
    const askedMs = performance.now()
    const answer = await send(place, (client, signal) =>
      client.get('/account', { token: token.token, signal }),
    )
    const by = `process ${(place % clients.length) + 1}`
    if (answer?.status === 200) record.accepted(token, by, askedMs)
    if (answer?.status === 401) record.refused(token, by, `${answer.body?.code}`)
  }

  return {
    name,
    account,
    style: options.style,
    held: () => held,
    handle: () => handle,
    logIn,
    /** Refreshes every second until `finish`, which is planned so much later, and once more when everything is well again. */
    run: async (plannedMs: number) => {
      lastLeaveMs = performance.now() + plannedMs - absenceMs
      while (!isFinished()) {
        const dueMs = performance.now()
        await once()
        if (next(10) === 0) await useToken()
        await resting
        await pause(Math.max(50, 900 + next(200) - (performance.now() - dueMs)))
      }
      await once()
    },
    finish: () => {
      finishedMs = performance.now()
    },
    /** No request for so long. */
    rest: (ms: number) => {
      resting = pause(ms)
    },
    /** Whether a revocation of the account worked is not known: nothing is to be learned from this person any more. */
    doubt: () => {
      isAccountInDoubt = true
      if (held) held.isAsked = true
    },
    /** Presents a handle as somebody else would who has it. */
    present: (stolen: Handle) =>
      insist((client, signal) => style.present(client, stolen, { signal }), false),
    handleIn: style.handleIn,
  }
}
