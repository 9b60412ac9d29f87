import { expect, test } from 'vitest'
import { html } from '../../src/http/page.ts'

test('a value is text, whatever is in it', () => {
  const value = `<b a="x" c='y'>&amp;</b>`
  const escaped = '&lt;b a=&quot;x&quot; c=&#39;y&#39;&gt;&amp;amp;&lt;/b&gt;'
  expect(html`<p title="${value}">${value}</p>`.toString()).toBe(
    `<p title="${escaped}">${escaped}</p>`,
  )
})

test('a template inside of a template stays as it is, and its values escaped once', () => {
  const inner = html`<b>${'<'}</b>`
  expect(html`<p>${inner}</p>`.toString()).toBe('<p><b>&lt;</b></p>')
})

test('what is not there leaves nothing', () => {
  expect(html`<p>${undefined}</p>`.toString()).toBe('<p></p>')
})

test('text that was taken from a template is text again', () => {
  expect(html`${html`<b>`.toString()}`.toString()).toBe('&lt;b&gt;')
})
