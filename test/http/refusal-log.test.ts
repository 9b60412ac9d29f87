import { expect, test, vi } from 'vitest'
import { openLog } from '../../src/http/log.ts'

const windowMs = 40

const openTestLog = (logLevel = 'info') => {
  const lines: string[] = []
  let nowMs = 0
  const log = openLog({
    logLevel,
    logStream: { write: (line) => void lines.push(line) },
    clock: { monotonicMs: () => nowMs },
    refusalWindowMs: windowMs,
  })
  const refuse = (kind: string, address: string, fields = {}) =>
    log.refusal({ kind, address, fields })
  return {
    refuse,
    written: () => lines.map((line) => JSON.parse(line)),
    advance: (ms: number) => {
      nowMs += ms
    },
  }
}

test('R112: the first refusal of a kind to a source is a line, the others are one count for each window in which there are some', async () => {
  const { refuse, written, advance } = openTestLog()
  for (let turn = 0; turn < 21; turn += 1) {
    refuse('invalid_client', '192.0.2.1', { request_id: `request ${turn}` })
  }
  expect(written()).toMatchObject([
    {
      level: 30,
      event: 'authority_refused',
      kind: 'invalid_client',
      source: '192.0.2.1',
      request_id: 'request 0',
      msg: 'authority was refused',
    },
  ])
  advance(windowMs)
  const again = { level: 30, event: 'authority_refused', msg: 'authority was refused again' }
  await vi.waitFor(() => expect(written()).toHaveLength(2))
  const { kind, source } = written()[0]
  expect(written()[1]).toMatchObject({ ...again, kind, source, more: 20 })
  refuse('invalid_client', '192.0.2.1')
  advance(windowMs)
  await vi.waitFor(() => expect(written()).toHaveLength(3))
  expect(written()[2]).toMatchObject({ ...again, kind, source, more: 1 })
})

test('a source that was quiet for a window is new again', async () => {
  const { refuse, written, advance } = openTestLog()
  refuse('forbidden_origin', '192.0.2.1')
  for (let turn = 0; turn < 2; turn += 1) refuse('forbidden_origin', '192.0.2.2')
  advance(windowMs)
  // The count of the other one says that both have been looked at.
  await vi.waitFor(() => expect(written()).toHaveLength(3))
  refuse('forbidden_origin', '192.0.2.1', { request_id: 'later' })
  expect(written().at(-1)).toMatchObject({ msg: 'authority was refused', request_id: 'later' })
})

test('kinds and sources are told apart; a source is an IPv4 address, however it is written, or an IPv6 /64', () => {
  const { refuse, written } = openTestLog()
  for (const kind of ['invalid_token', 'insufficient_scope']) {
    for (const address of [
      ...'192.0.2.1 ::ffff:192.0.2.1 192.0.2.2 2001:db8:1:2::1 2001:db8:1:2:ffff::9'.split(' '),
      ...'2001:db8:1:3::1 fe80::1%eth0 fe80::2%eth0'.split(' '),
      '',
      'no address',
    ]) {
      refuse(kind, address)
    }
  }
  const sources = ['192.0.2.1', '192.0.2.2', '2001:db8:1:2::/64', '2001:db8:1:3::/64']
  const seen = [...sources, 'fe80::/64', 'unknown']
  for (const kind of ['invalid_token', 'insufficient_scope']) {
    const lines = written().filter((line) => line.kind === kind)
    expect(lines.map(({ source }) => source)).toEqual(seen)
  }
})

test('whoever has ten thousand addresses gets two hundred lines, and a count of the rest', async () => {
  const { refuse, written, advance } = openTestLog()
  for (let n = 0; n < 10_000; n += 1) {
    refuse('invalid_token', `10.1.${Math.floor(n / 250)}.${n % 250}`)
  }
  expect(written()).toHaveLength(201)
  expect(written()[200]).toMatchObject({ kind: 'invalid_token', source: 'others' })
  advance(windowMs)
  await vi.waitFor(() => expect(written()).toHaveLength(202))
  expect(written()[201]).toMatchObject({ source: 'others', more: 10_000 - 201 })
  // Forgotten by now: there is room for other sources.
  refuse('invalid_token', '192.0.2.1')
  expect(written().at(-1)).toMatchObject({ source: '192.0.2.1' })
})

test('nothing is written above info', async () => {
  const { refuse, written, advance } = openTestLog('warn')
  refuse('invalid_token', '192.0.2.1')
  refuse('invalid_token', '192.0.2.1')
  advance(windowMs)
  expect(written()).toEqual([])
})
