import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  decodeFeedJson,
  encodeFeedBinary,
  encodeFeedJson,
  type FeedPage,
} from '../../packages/verifier/src/wire.ts'
import { readPage } from '../documentation/markdown.ts'
import type { ForeignProcess } from '../support/programs/foreign-process.ts'
import { entryOf, newKid } from './entries.ts'
import { guidePage, runGuide } from './guide-code.ts'

const page: FeedPage = {
  feedId: '7430123456789012345-1-1767225600',
  cursor: '18446744073709551615',
  entries: [
    entryOf('jti'),
    entryOf('sid', { notAfter: 0xffff_ffff }),
    entryOf('sub', { minEpoch: 0 }),
    entryOf('claims', { minEpoch: 2 ** 32 + 1 }),
    entryOf('kid', { key: newKid() }),
    entryOf('everyone', { minEpoch: Number.MAX_SAFE_INTEGER }),
  ],
}

test("the guide's example of a page is a page", () => {
  const example = /^```json\n([\s\S]*?)^```$/m.exec(readPage(guidePage))?.[1] ?? ''
  expect(decodeFeedJson(example).entries).toHaveLength(2)
})

describe("the guide's code that reads the binary form", () => {
  let python: ForeignProcess
  beforeAll(async () => {
    const code = { page: guidePage, name: 'cardea_binary.py' }
    python = await runGuide('python', 'decode-feed.py', [code])
  })
  afterAll(async () => {
    await python?.stop()
  })

  const decode = (bytes: Uint8Array) => python.ask({ page: Buffer.from(bytes).toString('base64') })

  test('reads the same as is in JSON, for every kind and the largest numbers', async () => {
    const inJson = JSON.parse(encodeFeedJson(page))
    expect(await decode(encodeFeedBinary(page))).toEqual({ page: inJson })
    const empty = encodeFeedBinary({ ...page, entries: [] })
    expect(await decode(empty)).toEqual({ page: { ...inJson, entries: [] } })
  })

  test('refuses a page that is cut off anywhere, or goes on', async () => {
    const bytes = encodeFeedBinary(page)
    for (let length = 0; length < bytes.length; length += 1) {
      expect(await decode(bytes.subarray(0, length)), `${length} bytes`).toHaveProperty('refused')
    }
    expect(await decode(Buffer.concat([bytes, Buffer.of(0)]))).toHaveProperty('refused')
  })

  test('refuses another version and an unknown kind', async () => {
    const bytes = Buffer.from(encodeFeedBinary(page))
    const kindAt = 5 + 1 + page.feedId.length + 1 + page.cursor.length + 4
    expect(bytes[kindAt]).toBe(1)
    const changes = [
      { at: 0, value: 0x63 },
      { at: 4, value: 2 },
      { at: kindAt, value: 0 },
      { at: kindAt, value: 7 },
    ]
    for (const { at, value } of changes) {
      const changed = Buffer.from(bytes)
      changed[at] = value
      expect(await decode(changed), `${value} at ${at}`).toHaveProperty('refused')
    }
  })
})
