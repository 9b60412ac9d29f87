import { expect, test } from 'vitest'
import { acceptsByName, prefersHtml } from '../../src/http/accept.ts'

test.each([
  'text/html',
  'TEXT/HTML',
  'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
  'text/html, application/json',
  'application/json;q=0.5 , text/html ; q=0.6',
  'text/html;level=1;q=0.1',
])('%s asks for a page', (accept) => {
  expect(prefersHtml(accept)).toBe(true)
})

test.each([
  ...'*/* text/* application/json text/html;q=0 text/html;q=0.000 text/html;q=high'.split(' '),
  ...'text/html;q=2 text/html;q=1.001 text/html-sandboxed xtext/html'.split(' '),
  ...'application/xhtml+xml'.split(' '),
  undefined,
  '',
  'application/json, text/html;q=0.9',
  'application/json, text/html',
])('%s does not', (accept) => {
  expect(prefersHtml(accept)).toBe(false)
})

test('a type is accepted by its name in any case and with any weight but zero, and not by a wildcard', () => {
  const type = 'application/vnd.example'
  for (const accept of [type, `a/b, ${type.toUpperCase()} ; q=0.001`]) {
    expect(acceptsByName(accept, type), accept).toBe(true)
  }
  for (const accept of [undefined, '', '*/*', 'application/*', `${type}.more`, `${type};q=0`]) {
    expect(acceptsByName(accept, type), accept).toBe(false)
  }
})
