import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { readPage, sections } from '../documentation/markdown.ts'
import { freePort } from '../support/servers/free-port.ts'
import { type Clone, startClone } from './clone.ts'
import { consoleBlocks, type Step, shows, stepsOf } from './transcript.ts'

const page = readPage('README.md')
const section = sections(page, 2).get('Protect a service') ?? ''
const example = 'examples/protected-service/server.js'
const code = /^```js\n([\s\S]*?)^```$/m.exec(section)?.[1] ?? ''

let clone: Clone
/** On which the protected service listens here: somebody else may be using the one of the page. */
let ownPort: number
let output = ''

/** As on the page, but for the ports. */
const here = (text: string): string =>
  text
    .replaceAll('127.0.0.1:8088', `127.0.0.1:${clone.port}`)
    .replaceAll('127.0.0.1:3000', `127.0.0.1:${ownPort}`)
    .replaceAll('port: 3000', `port: ${ownPort}`)

const stepsIn = (text: string): Step[][] => consoleBlocks(text).map((block) => stepsOf(here(block)))

/** What of the page's beginning must have been done: an account, and the first revocation, so that the next one is the second. */
const beforehand = (): Step[] => {
  const steps = stepsIn(page).flat()
  return ['cardea account create', 'cardea revoke'].map((wanted) => {
    const step = steps.find(({ command }) => command.includes(wanted))
    if (!step) throw new Error(`the README has no ${wanted}`)
    return step
  })
}

/** What a reader who is faster than the bound would do; two minutes on a machine that is slow to ask. */
const askUntilRevoked = (ask: string): Step => ({
  command: `for attempt in $(seq 2400); do ${ask} | grep -q token_revoked && break; sleep 0.05; done`,
  output: [],
})

/** Each request has its number: how many it took is not on the page. */
const withoutNumbers = (text: string): string => text.replaceAll(/"req-[0-9a-z]+"/g, '"req-2"')

beforeAll(async () => {
  clone = await startClone('protected')
  ownPort = await freePort()
  writeFileSync(join(clone.path, example), here(code))
})
afterAll(() => clone.stop())

const ask = (): Promise<Response> => fetch(`http://127.0.0.1:${ownPort}/orders`)

describe('the protected service of the README', () => {
  test('has ten lines, and they are those of the example', () => {
    expect(code.trimEnd().split('\n')).toHaveLength(10)
    expect(code).toBe(readFileSync(example, 'utf8'))
  })

  test('R73: runs beside `npm start`, and a revocation in one terminal is a 401 in the other', async () => {
    const [second = [], third = [], ...more] = stepsIn(section)
    expect(more).toEqual([])

    const prepared = await clone.runInShell([...beforehand(), ...second.slice(0, -1)])
    expect(prepared.slice(2).map((printed) => printed.trim())).toEqual(['', ''])
    const { command = '' } = second.at(-1) ?? {}
    expect(command).toBe(`node ${example}`)
    const service = clone.startInShell(command)
    service.stdout?.on('data', (chunk) => {
      output += chunk
    })
    service.stderr?.on('data', (chunk) => {
      output += chunk
    })
    await vi.waitFor(async () => expect((await ask()).status, output).toBe(401), {
      interval: 50,
    })

    const last = third.at(-1)
    if (!last) throw new Error('nothing is asked')
    const steps = [...third.slice(0, -1), askUntilRevoked(last.command), last]
    const printed = (await clone.runInShell(steps)).map(withoutNumbers)
    const compared = steps.map(({ output: shown }, place) =>
      shows(shown, printed[place] ?? '') ? shown.join('\n') : printed[place],
    )
    expect(compared).toEqual(steps.map(({ output: shown }) => shown.join('\n')))
    expect(output).toBe('')
  })
})
