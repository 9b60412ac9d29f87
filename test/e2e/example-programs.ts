import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, vi } from 'vitest'
import { readPage } from '../documentation/markdown.ts'
import { freePort } from '../support/servers/free-port.ts'
import { type Clone, startClone } from './clone.ts'
import { consoleBlocks, type Step, shows, stepsOf } from './transcript.ts'

/** A program of `examples/` that runs on by itself. */
export type ExampleProgram = {
  /** What it has printed so far, line by line. */
  readonly lines: () => string[]
  /** Resolves with its exit code. */
  readonly ended: Promise<number | null>
}

export type Examples = {
  readonly clone: Clone
  readonly apiAddress: string
  readonly webAddress: string
  /**
   * Does what the README of an example says, in the clone: every command must print what is shown there. The program of a block that
   * ends with one is left running.
   */
  readonly follow: (name: string) => Promise<ExampleProgram>
  /** What a command prints that comes back. */
  readonly run: (command: string) => Promise<string>
  /** A command that does not come back. */
  readonly start: (command: string) => ExampleProgram
  readonly stop: () => Promise<void>
}

const programs = [
  'web-app/server.js',
  'web-app/cardea.js',
  'api/server.js',
  'api/client.js',
  'service/report.js',
]

const waitForAnswer = (address: string, program: ExampleProgram): Promise<void> =>
  vi.waitFor(async () => {
    const answer = await fetch(address)
    await answer.text()
    expect(answer.status, program.lines().join('\n')).toBeLessThan(500)
  })

const startProgram = (clone: Clone, command: string): ExampleProgram => {
  const child = clone.startInShell(command)
  let printed = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk) => {
      printed += chunk
    })
  }
  return {
    lines: () => printed.split('\n').slice(0, -1),
    ended: once(child, 'close').then(([code]) => code),
  }
}

/** Each request has its number: how many it took is not on the page. */
const withoutNumbers = (text: string): string => text.replaceAll(/"req-[0-9a-z]+"/g, '"req-2"')

const runAll = async (clone: Clone, steps: readonly Step[]): Promise<void> => {
  if (steps.length === 0) return
  const printed = (await clone.runInShell(steps)).map(withoutNumbers)
  const compared = steps.map(({ output }, place) =>
    shows(output, printed[place] ?? '') ? output.join('\n') : printed[place],
  )
  expect(compared).toEqual(steps.map(({ output }) => output.join('\n')))
}

/** A clone that runs Cardea, with the examples in it on ports of their own: somebody else may be using those of the pages. */
export const startExamples = async (): Promise<Examples> => {
  const clone = await startClone('examples')
  const [apiPort, webPort] = [await freePort(), await freePort()]
  const apiAddress = `http://127.0.0.1:${apiPort}`
  const webAddress = `http://127.0.0.1:${webPort}`
  const here = (text: string): string =>
    text
      .replaceAll('127.0.0.1:8088', `127.0.0.1:${clone.port}`)
      .replaceAll(/127\.0\.0\.1:3002|port: 3002/g, (found) => found.replace('3002', `${apiPort}`))
      .replaceAll(/127\.0\.0\.1:3001|port: 3001/g, (found) => found.replace('3001', `${webPort}`))
  for (const program of programs) {
    const file = join(clone.path, 'examples', program)
    writeFileSync(file, here(readFileSync(file, 'utf8')))
  }
  const readiness: Readonly<Record<string, string>> = {
    'web-app': webAddress,
    api: `${apiAddress}/ready`,
  }
  const startShown = async (name: string, { command, output }: Step): Promise<ExampleProgram> => {
    const program = startProgram(clone, command)
    const address = readiness[name]
    if (address !== undefined) await waitForAnswer(address, program)
    await vi.waitFor(() => {
      const printed = program.lines().join('\n')
      expect(shows(output, printed), printed).toBe(true)
    })
    return program
  }
  const follow = async (name: string): Promise<ExampleProgram> => {
    let started: ExampleProgram | undefined
    for (const block of consoleBlocks(readPage(`examples/${name}/README.md`))) {
      const steps = stepsOf(here(block))
      const last = steps.at(-1)
      const runsOn = last && /^node examples\/\S+(server|report)\.js$/.test(last.command)
      await runAll(clone, runsOn ? steps.slice(0, -1) : steps)
      if (runsOn) started = await startShown(name, last)
    }
    if (!started) throw new Error(`the page of ${name} starts nothing`)
    return started
  }
  const run = async (command: string): Promise<string> => {
    const [printed = ''] = await clone.runInShell([{ command, output: [] }])
    return printed.trim()
  }
  const start = (command: string) => startProgram(clone, command)
  return { clone, apiAddress, webAddress, follow, run, start, stop: clone.stop }
}
