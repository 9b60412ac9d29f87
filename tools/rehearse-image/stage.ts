import { setTimeout as sleep } from 'node:timers/promises'
import type { Image } from './build.ts'
import type { Container, Outcome } from './container.ts'
import type { MadeSecrets } from './secrets.ts'

/** They end what hangs, and are no statement about speed. */
const readyWithinMs = 120_000
export const stoppedWithinMs = 60_000

/** What is run, and with which settings. */
export type Stage = {
  readonly image: Image
  readonly settings: Readonly<Record<string, string>>
  readonly secrets: MadeSecrets
  readonly port: number
}

/** Says what was seen, and ends the rehearsal when it is not what must be. */
export const see = (what: string, isSo: boolean, instead = ''): void => {
  if (!isSo) throw new Error(`not seen: ${what}${instead === '' ? '' : ` (instead: ${instead})`}`)
  process.stdout.write(`  seen: ${what}\n`)
}

export const told = ({ code, output, errors }: Outcome): string => `${code}: ${output}${errors}`

export const ask = async (url: string, init?: RequestInit) => {
  const response = await fetch(url, { redirect: 'manual', ...init })
  return { status: response.status, headers: response.headers, text: await response.text() }
}

export const untilReady = async (address: string, container: Container) => {
  const giveUpMs = performance.now() + readyWithinMs
  for (;;) {
    const answer = await ask(`${address}/health/ready`).catch(() => undefined)
    // Redis connects in the background, a moment after the service listens.
    if (answer?.text.includes('"status":"ready"')) return answer
    if (container.hasEnded()) throw new Error(`the service ended by itself:\n${container.log()}`)
    if (performance.now() > giveUpMs) throw new Error(`not ready: ${answer?.text ?? 'no answer'}`)
    await sleep(100)
  }
}
