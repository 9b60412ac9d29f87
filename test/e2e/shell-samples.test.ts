import { execFile } from 'node:child_process'
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { codeBlock } from '../documentation/markdown.ts'
import { bareEnvironment } from '../support/programs/debian-packages.ts'
import { scratchFolder } from '../support/programs/scratch-folder.ts'
import { findRedis } from '../support/servers/find-redis.ts'
import { startRedis } from '../support/servers/redis-server.ts'
import { type Clone, startClone } from './clone.ts'

/** The commands of the pages, pasted as printed into a shell of a clone that runs; anything that fails ends the shell. */

const guide = (name: string): string => `docs/guides/${name}.md`

let clone: Clone
let address: string

beforeAll(async () => {
  clone = await startClone('shell-samples')
  address = `http://127.0.0.1:${clone.port}`
})
afterAll(() => clone?.stop())

/** As printed, but for addresses and passwords. */
const here = (code: string, replace: Readonly<Record<string, string>> = {}): string =>
  Object.entries({
    'http://127.0.0.1:8088': address,
    'https://auth.example.com': address,
    'https://orders.example.com': address,
    'https://shop.example.com': address,
    ...replace,
  }).reduce((text, [example, value]) => text.replaceAll(example, value), code)

/**
 * A response that is no success fails the command; what it says is shown. What `npx` runs is run, without npm around it: test/e2e/readme.test.ts
 * has the real one.
 */
const strictly = `set -e -o pipefail
curl() { command curl --fail-with-body "$@"; }
npx() { PATH="$PWD/node_modules/.bin:$PATH" "$@"; }
`

/** Runs the code in one shell and resolves with what it printed. */
const paste = async (code: string): Promise<string> => {
  const [printed = ''] = await clone.runInShell([
    { command: `( ${strictly}${code}\n) 2>&1 || echo "ended with $?"`, output: [] },
  ])
  expect(printed).not.toMatch(/ended with \d+\s*$/)
  return printed.trim()
}

const password = 'correct horse battery staple 7'

const newAccount = async (): Promise<string> =>
  await paste(
    `echo '${password}' | npx cardea account create --email ada@example.com ||
     echo '${password}' | npx cardea account password --email ada@example.com`,
  )

const newClient = async (name: string) => {
  const created = JSON.parse(
    await paste(`npx cardea client create --name ${name} --scope orders:read --json`),
  )
  return `CLIENT_ID=${created.client_id} CLIENT_SECRET=${created.client_secret}`
}

test('first steps: the operator looks at accounts and revokes one, then the person uses their own', async () => {
  const page = guide('first-steps')
  await newAccount()
  const operator = /password {2}(\S+)/.exec(clone.started)?.[1] ?? ''
  const [logIn, asOperator, asPerson] = [
    codeBlock(page, 'operator@cardea.localhost'),
    codeBlock(page, '/admin/accounts'),
    codeBlock(page, '/sessions'),
  ]
  const printed = await paste(
    here(`${logIn}${asOperator}`, { '"password":"…"': `"password":"${operator}"` }),
  )
  expect(printed).toContain('ada@example.com')
  expect(printed).toContain('effective_by')
  expect(await paste(here(asPerson))).toContain('"email":"ada@example.com"')
})

test('native apps: the login answers with both tokens', async () => {
  await newAccount()
  const code = codeBlock(guide('native-apps'), '"delivery":"body"')
  const printed = await paste(here(code, { '"password":"…"': `"password":"${password}"` }))
  expect(Object.keys(JSON.parse(printed))).toEqual(
    expect.arrayContaining(['access_token', 'refresh_token', 'device_token']),
  )
})

test('browser apps: a preflight of a page that is not listed says so, with a status that a browser does not show', async () => {
  const code = codeBlock(guide('browser-apps'), '-X OPTIONS').trim()
  const printed = await paste(here(`status=0; ${code} || status=$?; echo; echo "curl $status"`))
  const [answer = '', ended] = printed.split('\n')
  expect(JSON.parse(answer)).toMatchObject({ status: 403, code: 'forbidden_origin' })
  // With `--fail-with-body`, which is not on the page.
  expect(ended).toBe('curl 22')
})

describe('service to service', () => {
  const page = guide('service-to-service')

  test('a client is made, and gets the token that is shown', async () => {
    const made = await paste(here(codeBlock(page, 'client create')))
    const [, id = ''] = /client_id +(\S+)/.exec(made) ?? []
    const [, secret = ''] = /client_secret +(\S+)/.exec(made) ?? []
    const code = here(codeBlock(page, 'grant_type=client_credentials'))
    const printed = JSON.parse(await paste(`CLIENT_ID=${id} CLIENT_SECRET=${secret}\n${code}`))
    const shown = JSON.parse(codeBlock(page, '"token_type":"Bearer"'))
    expect({ ...printed, access_token: '' }).toEqual({ ...shown, access_token: '' })
  })

  test('a secret is rolled', async () => {
    const client = await newClient('rolled')
    const list = `npx cardea client secret list "$CLIENT_ID" --json`
    const oldSecret = `OLD_SECRET_ID=$(${list} | node -p 'JSON.parse(require("fs").readFileSync(0)).secrets[0].id')`
    const code = codeBlock(page, 'client secret add')
    const printed = await paste(`${client}\n${oldSecret}\n${code}\n${list}`)
    expect(printed).toContain('client_secret')
  })
})

test('the verifier: its page makes the tarball that is installed, the client and the keys', async () => {
  const page = 'packages/verifier/README.md'
  const printed = await paste(codeBlock(page, 'npm pack'))
  expect(printed).toMatch(/client_id +\S+\nclient_secret +\S+/)
  const [, tarball = ''] =
    /^npm install \.\/(\S+) fastify$/m.exec(codeBlock(page, 'npm install')) ?? []
  expect(printed).toContain(tarball)
  expect(await readdir(clone.path)).toContain(tarball)
  for (const keys of [page, guide('sealed-sessions')]) {
    expect(await paste(here(codeBlock(keys, 'sealed-key --audience')))).toMatch(/^[\w-]{43}$/m)
  }
  expect(await paste(codeBlock(guide('verify-in-any-language'), 'client create'))).toContain('shop')
})

describe('operate', () => {
  const page = guide('operate')
  /** In the image the command is on the path. */
  const inClone = (code: string) => code.replaceAll(/^cardea /gm, 'npx cardea ')

  test('signing keys are listed, rotated and revoked', async () => {
    const code = inClone(codeBlock(page, 'keys rotate'))
    const kid = `KID=$(npx cardea keys list --json | node -p 'JSON.parse(require("fs").readFileSync(0)).keys[0].kid')`
    const printed = await paste(`${kid}\n${code.replace('<kid>', '"$KID"')}`)
    expect(printed).toContain('effective_by')
  })

  test('old entries of the audit trail are removed', async () => {
    expect(await paste(inClone(codeBlock(page, 'audit purge')))).toMatch(/removed +0/)
  })

  test('after a restore everyone is revoked, and Redis is emptied', async () => {
    const redis = await startRedis()
    onTestFinished(redis.stop)
    const { path, env } = await findRedis()
    const programs = path.includes('/')
      ? `redis-cli() { LD_LIBRARY_PATH=${env['LD_LIBRARY_PATH']} ${dirname(path)}/redis-cli "$@"; }\n`
      : ''
    const code = inClone(codeBlock(page, 'FLUSHDB'))
    const printed = await paste(`${programs}REDIS_OF_AN_ADMINISTRATOR=${redis.url}\n${code}`)
    expect(printed).toMatch(/effective_by[\s\S]*OK$/)
  })
})

test('run in a container: the secrets of the page are made, each of its own, for nobody else to read', async () => {
  const folder = await scratchFolder('secrets')
  onTestFinished(folder.remove)
  const code = codeBlock(guide('run-in-a-container'), 'openssl rand')
  await mkdir(join(folder.path, 'clone'))
  await writeFile(join(folder.path, 'make.sh'), `set -e\n${code}`)
  await promisify(execFile)('bash', ['../make.sh'], {
    cwd: join(folder.path, 'clone'),
    env: bareEnvironment(),
  })
  const secrets = join(folder.path, 'clone', 'secrets')
  expect((await stat(secrets)).mode & 0o777).toBe(0o700)
  const texts = await Promise.all(
    (await readdir(secrets)).map((name) => readFile(join(secrets, name), 'utf8')),
  )
  const values = texts.filter((text) => /^[0-9a-f]{64}\n$/.test(text))
  expect(values).toHaveLength(6)
  expect(new Set(values).size).toBe(6)
})
