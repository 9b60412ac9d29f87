// Logs in once, keeps its tokens in a file, asks the API with them, and refreshes them by itself.
//   echo "$PASSWORD" | node examples/api/client.js login ada@example.com
//   node examples/api/client.js /orders
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'

const cardea = 'http://127.0.0.1:8088'
const api = 'http://127.0.0.1:3002'
const file = '.data/ada-tokens.json'

// Beside first, then renamed: at every moment there is one whole file, with the old refresh token or the new one.
const keep = (tokens) => {
  writeFileSync(`${file}.new`, JSON.stringify(tokens), { mode: 0o600 })
  renameSync(`${file}.new`, file)
}

const giveUp = (why) => {
  console.log(why)
  process.exit(1)
}

// 503, and no answer at all, say nothing about tokens: keep them and ask again. A refresh may be repeated, too.
const ask = async (url, options, attempts = 5) => {
  const answer = await fetch(url, options).catch(() => undefined)
  if (answer && answer.status !== 503) return answer
  if (attempts === 1) giveUp(`${url} is away`)
  await wait(Number(answer?.headers.get('retry-after') ?? 1) * 1000)
  return ask(url, options, attempts - 1)
}

const post = async (path, body) => {
  const headers = { 'content-type': 'application/json' }
  const answer = await ask(cardea + path, { method: 'POST', headers, body: JSON.stringify(body) })
  const { access_token, refresh_token, code, reason } = await answer.json()
  if (answer.ok) return keep({ access_token, refresh_token })
  giveUp(`log in again: ${reason ?? code}`)
}

const held = () => JSON.parse(readFileSync(file))
const get = (path) =>
  ask(api + path, { headers: { authorization: `Bearer ${held().access_token}` } })

const [what, email] = process.argv.slice(2)
if (what === 'login') {
  const [password] = readFileSync(0, 'utf8').split('\n')
  await post('/login', { email, password, delivery: 'body' })
} else {
  let answer = await get(what)
  // Expired or revoked: one refresh tells. It is also one that ends the tries: a second 401 is final.
  if (answer.status === 401) {
    await post('/refresh', { refresh_token: held().refresh_token })
    answer = await get(what)
  }
  console.log(answer.status, await answer.text())
}
