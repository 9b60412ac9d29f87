import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { sections } from '../documentation/markdown.ts'
import { freePort } from '../support/servers/free-port.ts'
import { type Clone, startClone } from './clone.ts'
import { consoleBlocks, type Step, shows, stepsOf } from './transcript.ts'

const readme = readFileSync('README.md', 'utf8')
/** Up to the first heading: the tour. The sections after it have tests of their own. */
const [tour = ''] = readme.split('\n## ', 1)

let clone: Clone

/** The blocks as they are on the page, but for the port: others may be using it. */
const blocks = (): string[] =>
  consoleBlocks(tour).map((block) => block.replaceAll('127.0.0.1:8088', `127.0.0.1:${clone.port}`))

beforeAll(async () => {
  clone = await startClone('readme')
})
afterAll(() => clone.stop())

describe('the README', () => {
  test('shows an answer of the service by its 28th line', () => {
    const answer = readme.split('\n').findIndex((line) => line.startsWith('{"access_token"'))
    expect(answer).toBeGreaterThan(0)
    expect(answer).toBeLessThan(28)
  })

  test('prints in the second terminal, command by command, what it shows', async () => {
    const steps = blocks().slice(1).flatMap(stepsOf)
    expect(steps.length).toBeGreaterThanOrEqual(8)
    const printed = await clone.runInShell(steps)
    const compared = steps.map(({ command, output }, place) => ({
      command,
      printed: shows(output, printed[place] ?? '') ? output.join('\n') : printed[place],
    }))
    expect(compared).toEqual(
      steps.map(({ command, output }) => ({ command, printed: output.join('\n') })),
    )
  })

  test('goes the whole way: create, log in, verify, refresh, revoke, refused twice', () => {
    const commands = blocks()
      .slice(1)
      .flatMap(stepsOf)
      .map(({ command }) => command)
    const way = [
      /account create/,
      /\/login/,
      /jwtVerify/,
      /\/refresh/,
      /cardea revoke/,
      /\/refresh/,
      /\/account/,
    ]
    let place = -1
    for (const milestone of way) {
      const next = commands.findIndex((command, index) => index > place && milestone.test(command))
      expect(next, String(milestone)).toBeGreaterThan(place)
      place = next
    }
  })
})

/** What a reader who is faster than the bound would do; two minutes on a machine that is slow to ask. */
const askUntilRevoked = (ask: string): Step => ({
  command: `for attempt in $(seq 2400); do ${ask} | grep -q token_revoked && break; sleep 0.05; done`,
  output: [],
})

/** Each request has its number: how many it took is not on the page. */
const withoutNumbers = (text: string): string => text.replaceAll(/"req-[0-9a-z]+"/g, '"req-2"')

// In order: the tour has made the account, and the first revocation.
describe('the protected service of the README', () => {
  const section = sections(readme, 2).get('Protect a service') ?? ''
  const example = 'examples/protected-service/server.js'
  const code = /^```js\n([\s\S]*?)^```$/m.exec(section)?.[1] ?? ''
  /** On which the protected service listens here: somebody else may be using the one of the page. */
  let ownPort: number
  let output = ''

  /** As on the page, but for the ports. */
  const here = (text: string): string =>
    text
      .replaceAll('127.0.0.1:8088', `127.0.0.1:${clone.port}`)
      .replaceAll('127.0.0.1:3000', `127.0.0.1:${ownPort}`)
      .replaceAll('port: 3000', `port: ${ownPort}`)

  const stepsIn = (text: string): Step[][] =>
    consoleBlocks(text).map((block) => stepsOf(here(block)))

  beforeAll(async () => {
    ownPort = await freePort()
    writeFileSync(join(clone.path, example), here(code))
  })

  const ask = (): Promise<Response> => fetch(`http://127.0.0.1:${ownPort}/orders`)

  test('has ten lines, and they are those of the example', () => {
    expect(code.trimEnd().split('\n')).toHaveLength(10)
    expect(code).toBe(readFileSync(example, 'utf8'))
  })

  test('R73: runs beside `npm start`, and a revocation in one terminal is a 401 in the other', async () => {
    const [second = [], third = [], ...more] = stepsIn(section)
    expect(more).toEqual([])

    const prepared = await clone.runInShell(second.slice(0, -1))
    expect(prepared.map((printed) => printed.trim())).toEqual(['', ''])
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
