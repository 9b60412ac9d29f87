import { hash } from 'node:crypto'
import type { FastifyReply } from 'fastify'

/** Escaped HTML. Only `html` makes it. */
export class Html {
  readonly #markup: string

  constructor(markup: string) {
    this.#markup = markup
  }

  toString(): string {
    return this.#markup
  }
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

const escapeText = (text: string): string =>
  text.replace(/[&<>"']/g, (character) => entities[character] ?? '')

const markupOf = (value: string | Html | undefined): string => {
  if (value === undefined) return ''
  return value instanceof Html ? value.toString() : escapeText(value)
}

/**
 * A template that escapes its values, except `Html` values; `undefined` inserts nothing. Safe for element content and for attribute values
 * in double quotes only. Never put a value into a script, a style, or an attribute without quotes.
 */
export const html = (
  parts: TemplateStringsArray,
  ...values: readonly (string | Html | undefined)[]
): Html => new Html(parts.map((part, place) => `${part}${markupOf(values[place])}`).join(''))

/** The name and logo of the operator of this service. */
export type Brand = {
  readonly name: string | undefined
  /** A `data:` URL. */
  readonly logo: string | undefined
}

declare module 'fastify' {
  interface FastifyInstance {
    brand: Brand
  }
}

export type Page = {
  /** Plain text; it is escaped. */
  readonly title: string
  readonly content: Html
  readonly brand?: Brand
  /** A constant of the source code. It must never contain data of a request or a store. */
  readonly script?: string
  /** Where a form of the page may redirect besides this origin, as sources of a content policy. */
  readonly formTargets?: readonly string[]
}

const style = `
:root { color-scheme: light dark; --page: #f3f4f6; --card: #fff; --text: #111827; --soft: #4b5563; --line: #6b7280; --edge: #d1d5db; --accent: #1d4ed8; --on-accent: #fff; --alert: #b91c1c }
@media (prefers-color-scheme: dark) { :root { --page: #111827; --card: #1f2937; --text: #f9fafb; --soft: #d1d5db; --line: #9ca3af; --edge: #374151; --accent: #93c5fd; --on-accent: #111827; --alert: #fca5a5 } }
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; min-height: 100dvh; display: grid; grid-template-columns: minmax(0, 24rem); place-content: start center; background: var(--card); color: var(--text); font: 1rem/1.5 system-ui, sans-serif }
main { padding: 2rem 1.25rem; overflow-wrap: anywhere }
@media (min-width: 30rem) {
  body { place-content: center; padding: 1rem; background: var(--page) }
  main { padding: 2rem; border: 1px solid var(--edge); border-radius: .75rem; background: var(--card) }
}
header { margin-bottom: 1.5rem; font-weight: 600 }
header img { display: block; max-width: 100%; max-height: 3rem }
header img + span { display: block; margin-top: .5rem }
h1 { margin: 0; font-size: 1.5rem; line-height: 1.25 }
p { margin: .5rem 0 0 }
.soft { color: var(--soft) }
label { display: block; margin: 1.25rem 0 .25rem; font-weight: 600 }
input, button, .button { display: block; width: 100%; min-height: 2.75rem; padding: .6rem .75rem; border: 1px solid var(--line); border-radius: .375rem; background: transparent; color: inherit; font: inherit }
.choice { display: flex; align-items: center; gap: .5rem; margin-top: 1rem }
.choice input { width: 1.125rem; height: 1.125rem; min-height: 0; margin: 0; accent-color: var(--accent) }
.choice label { margin: 0; font-weight: 400 }
.secret { position: relative }
.secret button { position: absolute; inset: 0 0 0 auto; width: auto; border-color: transparent; color: var(--accent); font-weight: 600; cursor: pointer }
.secret button[hidden] { display: none }
.secret input.toggled { padding-right: 4.5rem }
[aria-invalid=true] { border-color: var(--alert) }
.button { margin-top: 1.5rem; border-color: var(--accent); background: var(--accent); color: var(--on-accent); font-weight: 600; text-align: center; text-decoration: none; cursor: pointer }
.button.secondary { background: transparent; color: var(--accent) }
.button + .button { margin-top: .75rem }
a { color: var(--accent) }
.other { margin-top: 1rem; text-align: center }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
[role=alert] { margin-top: 1rem; border-left: .25rem solid var(--alert); padding: .25rem .75rem }
[role=alert] p { margin: 0 }
`

const digestOf = (text: string): string => `'sha256-${hash('sha256', text, 'base64')}'`

const styleDigest = digestOf(style)

/**
 * Allows the style sheet and the script of the page, its logo, and forms to this origin. Everything else stays forbidden, as for every
 * other response. The style and the script are allowed by digest, so an injected script does not run.
 *
 * Chromium checks every redirect after a form against `form-action`, so its sources include the hosts that a login returns to.
 */
const contentPolicy = ({ brand, script, formTargets = [] }: Page): string =>
  [
    "default-src 'none'",
    `style-src ${styleDigest}`,
    ...(script === undefined ? [] : [`script-src ${digestOf(script)}`]),
    ...(brand?.logo === undefined ? [] : ['img-src data:']),
    ["form-action 'self'", ...formTargets].join(' '),
    "frame-ancestors 'none'",
    "base-uri 'none'",
  ].join('; ')

/** Text in a style or script element is not escaped, and the digest covers every character. */
const styleMarkup = new Html(style)

const scriptMarkup = (script: string): Html => html`
<script>${new Html(script)}</script>`

/** The logo has an empty alternative text, because the name is beside it or the title says what the page is. */
const brandMarkup = ({ name, logo }: Brand): Html | undefined => {
  if (name === undefined && logo === undefined) return undefined
  return html`<header>${logo === undefined ? undefined : html`<img src="${logo}" alt="">`}${
    name === undefined ? undefined : html`<span>${name}</span>`
  }</header>
`
}

const markup = ({ title, content, brand, script }: Page): Html => html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${brand?.name === undefined ? title : `${title} - ${brand.name}`}</title>
<style>${styleMarkup}</style>
</head>
<body>
<main>
${brand && brandMarkup(brand)}${content}
</main>${script === undefined ? undefined : scriptMarkup(script)}
</body>
</html>
`

/** Renders a page in the common style, with the headers it needs in addition to those of every response. */
export const renderPage = (page: Page) => ({
  body: markup(page).toString(),
  headers: {
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': contentPolicy(page),
    'cache-control': 'no-store',
  },
})

/** What went wrong. Input fields refer to it with `aria-describedby`. */
export const alertMarkup = (problem: string): Html =>
  html`<div role="alert" id="problem"><p>${problem}</p></div>
`

/** Sends a page with the status that was set. */
export const sendPage = (reply: FastifyReply, page: Page): FastifyReply => {
  const { body, headers } = renderPage(page)
  return reply.headers(headers).send(body)
}
