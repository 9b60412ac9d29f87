import { hash } from 'node:crypto'
import type { FastifyReply } from 'fastify'
import { Html, html } from './html.ts'

const style = `
:root { color-scheme: light dark; --line: #6b7280; --accent: #1d4ed8; --on-accent: #fff; --alert: #b91c1c }
@media (prefers-color-scheme: dark) { :root { --line: #9ca3af; --accent: #93c5fd; --on-accent: #111827; --alert: #fca5a5 } }
* { box-sizing: border-box }
body { margin: 0; font: 1rem/1.5 system-ui, sans-serif }
main { max-width: 24rem; margin: 0 auto; padding: 2rem 1rem }
h1 { margin: 0 0 1rem; font-size: 1.5rem }
label { display: block; margin: 1rem 0 .25rem; font-weight: 600 }
input, button { width: 100%; padding: .6rem .75rem; border: 1px solid var(--line); border-radius: .375rem; font: inherit }
button { margin-top: 1.5rem; border-color: var(--accent); background: var(--accent); color: var(--on-accent); font-weight: 600; cursor: pointer }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
[role=alert] { border-left: .25rem solid var(--alert); padding: .25rem .75rem }
[role=alert] p { margin: 0 }
`

/**
 * The one style sheet may be used, and the form may be sent to us; everything else stays as forbidden as for every other answer. No
 * script at all: text that got into the page by some mistake could then still not act.
 */
const contentPolicy = [
  "default-src 'none'",
  `style-src 'sha256-${hash('sha256', style, 'base64')}'`,
  "form-action 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
].join('; ')

/** Nothing is escaped inside of a style element, and its hash covers every character. */
const styleMarkup = new Html(style)

/** A page in our one style; the title is text. */
const page = (title: string, content: Html): Html => html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>${styleMarkup}</style>
</head>
<body>
<main>
${content}
</main>
</body>
</html>
`

/** Sends a page, with the status that was set. The headers of every other answer stay, but for the content policy. */
export const sendPage = (reply: FastifyReply, title: string, content: Html): FastifyReply =>
  reply
    .header('content-type', 'text/html; charset=utf-8')
    .header('content-security-policy', contentPolicy)
    .header('cache-control', 'no-store')
    .send(page(title, content).toString())
