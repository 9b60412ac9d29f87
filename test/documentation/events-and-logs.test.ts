import { describe, expect, test } from 'vitest'
import { auditEventNames } from '../../src/audit/index.ts'
import { codeOf, readPage, sections, tableRows } from './markdown.ts'

const byHeading = sections(readPage('docs/reference/events-and-logs.md'), 2)

const namesIn = (heading: string): string[] =>
  tableRows(byHeading.get(heading) ?? '').flatMap(([cell]) => codeOf(cell) ?? [])

describe('the page of events', () => {
  test('has a row for every event, in the order of the source, and for no other', () => {
    expect(namesIn('The audit trail')).toEqual([...auditEventNames])
  })

  test('says for every event what the OWASP vocabulary calls it', () => {
    const mapped = tableRows(byHeading.get("In OWASP's words") ?? '')
      .flatMap(([cell = '']) => [...cell.matchAll(/`([a-z_]+)`/g)].map(([, name]) => name))
      .filter((name) => name !== 'account' && name !== 'token_refreshed')
    expect([...new Set(mapped)].toSorted()).toEqual(auditEventNames.toSorted())
  })
})
