import { expect, test } from 'vitest'
import { prefersHtml } from '../../src/http/prefers-html.ts'

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
  undefined,
  '',
  '*/*',
  'text/*',
  'application/json',
  'application/json, text/html;q=0.9',
  'text/html;q=0',
  'text/html;q=0.000',
  'text/html;q=high',
  'text/html;q=2',
  'text/html-sandboxed',
  'xtext/html',
  'application/xhtml+xml',
])('%s does not', (accept) => {
  expect(prefersHtml(accept)).toBe(false)
})
