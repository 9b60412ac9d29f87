import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'
import { findChromium } from '../support/programs/find-chromium.ts'
import { scratchFolder } from '../support/programs/scratch-folder.ts'

/** What the DevTools protocol answers; each method has a shape of its own. */
// biome-ignore lint/suspicious/noExplicitAny: a test reads what it asked for
type Result = any

type Send = (method: string, params?: object) => Promise<Result>

export type Tab = {
  /** Goes to an address; what it shows in the end is for the test to wait for. */
  readonly open: (address: string) => Promise<void>
  /** The value of an expression on the page. */
  readonly evaluate: (expression: string) => Promise<Result>
  /** Any other command of the DevTools protocol. */
  readonly send: Send
}

export type Chromium = { readonly newTab: () => Promise<Tab>; readonly stop: () => Promise<void> }

const switches = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--hide-scrollbars',
  '--remote-debugging-pipe',
]

type Call = { readonly resolve: (result: Result) => void; readonly reject: (error: Error) => void }

/** Commands and results, each one JSON text and a NUL, on the pipes that `--remote-debugging-pipe` names. */
const speak = (commands: Writable, results: Readable) => {
  const calls = new Map<number, Call>()
  let rest = ''
  let last = 0
  results.setEncoding('utf8').on('data', (text: string) => {
    const messages = `${rest}${text}`.split('\0')
    rest = messages.pop() ?? ''
    for (const message of messages) {
      const { id, result, error } = JSON.parse(message)
      const call = calls.get(id)
      calls.delete(id)
      if (error) call?.reject(new Error(error.message))
      else call?.resolve(result)
    }
  })
  results.on('close', () => {
    for (const { reject } of calls.values()) reject(new Error('Chromium has ended'))
  })
  return (method: string, params: object = {}, sessionId?: string): Promise<Result> =>
    new Promise((resolve, reject) => {
      last += 1
      calls.set(last, { resolve, reject })
      commands.write(`${JSON.stringify({ id: last, method, params, sessionId })}\0`)
    })
}

const tabOf = (send: Send): Tab => ({
  send,
  open: async (url) => {
    await send('Page.navigate', { url })
  },
  evaluate: async (expression) => {
    const { result, exceptionDetails } = await send('Runtime.evaluate', {
      expression,
      awaitPromise: true,
      returnByValue: true,
    })
    if (exceptionDetails) throw new Error(exceptionDetails.text)
    return result.value
  },
})

/** A real Chromium with a profile of its own, in which every host name leads to this port of the loopback. */
export const startChromium = async (port: number): Promise<Chromium> => {
  const { path, env } = await findChromium()
  const folder = await scratchFolder('chromium')
  const own = [
    `--user-data-dir=${folder.path}`,
    `--host-resolver-rules=MAP * 127.0.0.1:${port}`,
    // The certificate of the tests is signed by nobody.
    '--ignore-certificate-errors',
  ]
  const child = spawn(path, [...switches, ...own, 'about:blank'], {
    env: { ...env, HOME: folder.path },
    stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
    // Its own group: the browser is many processes, and all of them are ended at once.
    detached: true,
  })
  folder.watch(child.pid ?? '')
  const ended = once(child, 'exit')
  const [, , , commands, results] = child.stdio
  if (!commands || !('write' in commands) || !results || !('read' in results)) {
    throw new Error('Chromium has no pipes')
  }
  const send = speak(commands, results)
  return {
    newTab: async () => {
      const { targetId } = await send('Target.createTarget', { url: 'about:blank' })
      const { sessionId } = await send('Target.attachToTarget', { targetId, flatten: true })
      return tabOf((method, params) => send(method, params, sessionId))
    },
    stop: async () => {
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL')
      await ended
      await folder.remove()
    },
  }
}
