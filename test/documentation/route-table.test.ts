import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { openLog } from '../../src/http/log.ts'
import type { Route } from '../../src/http/route.ts'
import { composeService } from '../../src/wiring.ts'
import { startCardea } from '../support/cardea.ts'

const page = new URL('../../docs/architecture.md', import.meta.url)

const rowOf = ({ method, path, access }: Route): string =>
  `${method.padEnd(7)}${path.padEnd(45)}${access}`

test('the page of the architecture lists every route with its access, in the order of the table', async () => {
  const cardea = await startCardea({ redisUrl: null })
  try {
    const [instance] = cardea.instances
    if (!instance) throw new Error('no instance')
    const log = openLog({ logLevel: 'silent', logStream: { write: () => undefined } })
    const { routes } = composeService(instance.core, log)
    const [, listed] =
      /<!-- routes -->\n```\n([\s\S]*?)\n```/.exec(await readFile(page, 'utf8')) ?? []
    expect(listed).toBe(routes.map(rowOf).join('\n'))
  } finally {
    await cardea.stop()
  }
})
