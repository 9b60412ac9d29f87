import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Clone, startClone } from './clone.ts'
import { consoleBlocks, shows, stepsOf } from './transcript.ts'

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
