import { createHook } from 'node:async_hooks'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import {
  createVerifier,
  type Verifier,
  VerifierError,
} from '../../../packages/verifier/src/index.ts'
import { systemClock } from '../../../packages/verifier/src/system-clock.ts'

/** The program of a service that uses the package, as a process of its own. Its parent is `verifier-process.ts`. */
export type Opening = {
  readonly issuer: string
  readonly endpoint: string
  readonly client: { readonly id: string; readonly secret: string }
}

/** What happened to one token that is asked about again and again. Times are of the true wall clock, milliseconds. */
export type Watched = {
  accepted: number
  lastAcceptedAtMs: number | undefined
  /** The code of the last refusal. */
  refusedWith: string | undefined
  /** It was accepted after it had been refused as revoked. */
  revived: number
  /** It was accepted though the verifier said before and after that it was not FRESH. */
  acceptedInDoubt: number
}

export type Calls = {
  /** Method and path of each HTTP request. */
  readonly requests: readonly string[]
  /** Kinds of everything that was opened towards a network or another process. */
  readonly opened: readonly string[]
}

/** The clock that is right: setting the other one does not move it, and all processes of a machine agree on it. */
const trueNowMs = (): number => performance.timeOrigin + performance.now()

const states: string[] = []
const snapshots: string[] = []
let errors = 0
const watched = new Map<string, Watched>()
let open: Verifier | undefined

// What an operator, or a broken time server, does to this machine; the rest is a suspended process.
let wallIsAheadMs = 0
let suspendedMs = 0

const verifier = (): Verifier => {
  if (!open) throw new Error('no verifier was opened')
  return open
}

/** `accepted`, or the code of the refusal. */
const verdict = async (token: string): Promise<string> => {
  try {
    await verifier().verify(token)
    return 'accepted'
  } catch (error) {
    if (error instanceof VerifierError) return error.code
    throw error
  }
}

const askOnce = async (token: string, seen: Watched): Promise<void> => {
  const before = verifier().state()
  const said = await verdict(token)
  if (said !== 'accepted') {
    seen.refusedWith = said
    return
  }
  seen.accepted += 1
  seen.lastAcceptedAtMs = trueNowMs()
  if (seen.refusedWith === 'token_revoked') seen.revived += 1
  if (before !== 'FRESH' && verifier().state() !== 'FRESH') seen.acceptedInDoubt += 1
}

/** Far less than a lease. */
const longestPauseMs = 250

/** Never ends. Takes a share of one processor only, so that many of these processes leave something to what they test. */
const watch = async (share: number): Promise<void> => {
  while (true) {
    const startedAtMs = performance.now()
    for (const [token, seen] of watched) await askOnce(token, seen)
    const tookMs = performance.now() - startedAtMs
    // The first time costs all the signatures, and on a busy machine a good deal of waiting.
    await systemClock.sleep(Math.min(longestPauseMs, Math.max(1, tookMs * (1 / share - 1))))
  }
}

/** Everything that a call to someone else begins with; a request on a connection that is open already begins with none of these. */
const isCall = (type: string): boolean =>
  /^(TCP|TLS|UDP|PIPE|UDPSEND|TCPCONNECT|PIPECONNECT|PROCESS|GETADDRINFOREQ|GETNAMEINFOREQ|QUERY|HTTPCLIENTREQUEST|HTTP2)/.test(
    type,
  )

/** What this process does to the outside world while `work` runs. */
const callsDuring = async (work: () => Promise<unknown>): Promise<Calls> => {
  const requests: string[] = []
  const opened: string[] = []
  const onRequest = (message: unknown): void => {
    const { request } = message as { request: { method: string; path: string } }
    requests.push(`${request.method} ${request.path}`)
  }
  const onSocket = () => opened.push('net.client.socket')
  const hook = createHook({
    init: (_id, type) => {
      if (isCall(type)) opened.push(type)
    },
  })
  subscribe('undici:request:create', onRequest)
  subscribe('net.client.socket', onSocket)
  hook.enable()
  try {
    await work()
  } finally {
    hook.disable()
    unsubscribe('undici:request:create', onRequest)
    unsubscribe('net.client.socket', onSocket)
  }
  return { requests, opened }
}

const calls = {
  /** Begins to follow; does not wait for anything. */
  open: ({ issuer, endpoint, client }: Opening): void => {
    open = createVerifier({
      issuer,
      audience: issuer,
      endpoint,
      client,
      clock: {
        ...systemClock,
        nowMs: () => systemClock.nowMs() + wallIsAheadMs,
        monotonicMs: () => systemClock.monotonicMs() + suspendedMs,
      },
    })
    open.on('state', (state) => states.push(state))
    open.on('snapshot', ({ reason }) => snapshots.push(reason))
    open.on('error', () => {
      errors += 1
    })
  },
  ready: () => verifier().ready(AbortSignal.timeout(20_000)),
  state: () => verifier().state(),
  verdict,
  /** From now on all of these tokens are asked about, again and again, until the process ends. */
  watch: ({ tokens, share }: { tokens: readonly string[]; share: number }): void => {
    if (watched.size === 0) void watch(share)
    for (const token of tokens) {
      watched.set(token, {
        accepted: 0,
        lastAcceptedAtMs: undefined,
        refusedWith: undefined,
        revived: 0,
        acceptedInDoubt: 0,
      })
    }
  },
  watched: (): Watched[] => [...watched.values()],
  /** All states and snapshots since the start, in order, and how many questions in the background failed. */
  history: () => ({ states, snapshots, errors }),
  setWallClock: (aheadMs: number): void => {
    wallIsAheadMs = aheadMs
  },
  suspend: (ms: number): void => {
    suspendedMs += ms
  },
  /** Asks about each of the tokens, all are accepted, and says what else this process did meanwhile. */
  callsOfVerifying: (tokens: readonly string[]): Promise<Calls> =>
    callsDuring(async () => {
      for (const token of tokens) await verifier().verify(token)
    }),
  callsOfFetching: (url: string): Promise<Calls> =>
    callsDuring(async () => {
      const answer = await fetch(url)
      await answer.arrayBuffer()
    }),
}

export type VerifierCalls = typeof calls
export type CallName = keyof VerifierCalls

const isCallName = (name: string): name is CallName => Object.hasOwn(calls, name)

process.on('message', ({ id, name, input }: { id: number; name: string; input: never }) => {
  const answer = async () => {
    if (!isCallName(name)) throw new Error(`there is no call ${name}`)
    return await calls[name](input)
  }
  answer().then(
    (output) => process.send?.({ id, output }),
    (error: unknown) => process.send?.({ id, error: String(error) }),
  )
})
// Whoever started this process is gone, or has had enough.
process.once('disconnect', () => process.exit())
