// Asks the API once a second, as itself: no person is logged in. When its client, or the account that owns that, is revoked it is over.
import { readFileSync } from 'node:fs'
import { setInterval } from 'node:timers/promises'
import * as oauth from 'openid-client'

const issuer = 'http://127.0.0.1:8088'
const api = 'http://127.0.0.1:3002'
const { client_id: id, client_secret: secret } = JSON.parse(readFileSync('.data/report.json'))

const discover = () =>
  oauth.discovery(new URL(issuer), id, {}, oauth.ClientSecretBasic(secret), {
    algorithm: 'oauth2',
    // Only because Cardea is on this machine: with https: leave it out.
    execute: [oauth.allowInsecureRequests],
  })

let server
let held = { token: '', goodUntilMs: 0 }

/** One token serves until shortly before it ends: asking for each call would be a login for each call. */
const token = async () => {
  if (Date.now() >= held.goodUntilMs) {
    // Here and not at the start, when Cardea may be away.
    server ??= await discover()
    const answer = await oauth.clientCredentialsGrant(server, { scope: 'orders:read' })
    held = {
      token: answer.access_token,
      goodUntilMs: Date.now() + (answer.expires_in - 30) * 1000,
    }
  }
  return held.token
}

const report = async () => {
  const headers = { authorization: `Bearer ${await token()}` }
  const answer = await fetch(`${api}/report`, { headers })
  // Revoked before its time: the next round asks for another, and learns there whether there will be one.
  if (answer.status === 401) held = { token: '', goodUntilMs: 0 }
  console.log(answer.status, await answer.text())
}

for await (const _ of setInterval(1000)) {
  try {
    await report()
  } catch (error) {
    // 401 of Cardea: the client is disabled, alone or with its owner, or the secret revoked, and no repetition changes that. All else passes.
    if (error.status !== 401) {
      console.log('later:', error.message)
      continue
    }
    console.log('Cardea no longer accepts this client')
    process.exitCode = 1
    break
  }
}
