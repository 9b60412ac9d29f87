import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { vi } from 'vitest'
import { startsFaster } from '../programs/compile-cache.ts'
import type { Opening, VerifierCalls, Watched } from './verifier-child.ts'

const program = fileURLToPath(new URL('verifier-child.ts', import.meta.url))

type Input<Name extends keyof VerifierCalls> = Parameters<VerifierCalls[Name]>[0]
type Output<Name extends keyof VerifierCalls> = Awaited<ReturnType<VerifierCalls[Name]>>

/** A service in a process of its own that checks access tokens with the real package, and does what the test says. */
export type VerifierProcess = {
  readonly call: <Name extends keyof VerifierCalls>(
    name: Name,
    ...input: Parameters<VerifierCalls[Name]>
  ) => Promise<Output<Name>>
  /** `accepted`, or the code of the refusal. */
  readonly verdict: (token: string) => Promise<string>
  readonly whenState: (state: 'FRESH' | 'STALE') => Promise<void>
  /** Resolves when each of these tokens has been accepted; from then on all of them are asked about all the time. */
  readonly watch: (tokens: readonly string[], share?: number) => Promise<void>
  /** What became of them, in the order in which they were given. */
  readonly watched: () => Promise<Watched[]>
  readonly stop: () => Promise<void>
}

type Reply = { readonly id: number; readonly output?: unknown; readonly error?: string }

/** Runs until `stop`, or until this process ends. `environment` is added to that of this process. */
export const startVerifier = async (
  opening: Opening,
  environment: Readonly<Record<string, string>> = {},
): Promise<VerifierProcess> => {
  const child = spawn(process.execPath, [program], {
    env: { ...startsFaster, ...process.env, ...environment },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const ended = once(child, 'exit')
  const waiting = new Map<number, (reply: Reply) => void>()
  let lastId = 0
  child.on('message', (reply: Reply) => {
    waiting.get(reply.id)?.(reply)
    waiting.delete(reply.id)
  })
  child.once('exit', () => {
    for (const [id, answer] of waiting) answer({ id, error: 'the verifier process ended' })
  })

  const call = async <Name extends keyof VerifierCalls>(
    name: Name,
    ...[input]: Parameters<VerifierCalls[Name]>
  ): Promise<Output<Name>> => {
    lastId += 1
    const id = lastId
    const reply = await new Promise<Reply>((resolve) => {
      waiting.set(id, resolve)
      child.send({ id, name, input } satisfies { id: number; name: Name; input?: Input<Name> })
    })
    if (reply.error !== undefined) throw new Error(`${name}: ${reply.error}`)
    return reply.output as Output<Name>
  }

  const watched = () => call('watched')
  await call('open', opening)
  return {
    call,
    watched,
    verdict: (token) => call('verdict', token),
    whenState: async (state) => {
      await vi.waitUntil(async () => (await call('state')) === state)
    },
    watch: async (tokens, share = 0.1) => {
      await call('watch', { tokens, share })
      const isAccepted = ({ accepted }: Watched) => accepted > 0
      await vi.waitUntil(async () => (await watched()).every(isAccepted))
    },
    stop: async () => {
      if (child.connected) child.disconnect()
      await ended
    },
  }
}
