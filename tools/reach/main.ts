// `npm run check:reach`: how many of our files a request runs through. The real service runs in this process, over an embedded Postgres and
// without Redis. V8 counts the calls of every function. A file counts when at least one of its functions was called; the code at the top of
// a module, which runs once at the start, does not count. `-v` also lists the files.
//
// Fails when a request runs through more files than its limit, and when a function of ours without a name ran: stack traces and profiles
// show it as `(anonymous)`. A function that is written as an argument of a call, such as `list.map((one) => …)`, needs no name.
import { readFileSync } from 'node:fs'
import { chmod } from 'node:fs/promises'
import { Session } from 'node:inspector/promises'
import { relative } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createApp } from '../../src/app.ts'
import { loadConfig } from '../../src/config/index.ts'
import { type Core, openCore } from '../../src/core.ts'
import { openLog } from '../../src/http/log.ts'
import { newId, systemRandom } from '../../src/lib/machine.ts'
import { prepareSchema } from '../../src/schema.ts'
import { openStores } from '../../src/store-credentials.ts'
import { scratchFolder } from '../../test/support/programs/scratch-folder.ts'
import { type Answer, httpClient } from '../../test/support/service/client.ts'

/** The maximum number of files that a request may run through. Other requests have no limit. */
const limits = new Map([
  ['POST /refresh', 20],
  ['POST /login', 40],
])

/** Before the measurement, to fill caches, open connections and prepare statements. */
const warmUps = 5

/** The process also has timers, and follows revocations. So only functions that ran for every one of these requests are counted. */
const samples = 8

/** A response may be followed by work for its request: a revocation is published to other processes and read back. */
const afterworkMs = 100

const project = fileURLToPath(new URL('../../', import.meta.url))

const ours = /^(src|packages\/[^/]+\/src)\//

/** A called function, by the position of its text. */
type Called = { readonly file: string; readonly name: string; readonly offset: number }

/** Our functions that were called since the last time, by file and offset. */
const takeCalled = async (profiler: Session): Promise<Map<string, Called>> => {
  const { result } = await profiler.post('Profiler.takePreciseCoverage')
  const called = new Map<string, Called>()
  for (const { url, functions } of result) {
    const file = url.startsWith('file:') ? relative(project, fileURLToPath(url)) : ''
    if (!ours.test(file)) continue
    for (const { functionName: name, ranges } of functions) {
      const [range] = ranges
      // The first range is the whole function, and at offset 0 it is the module.
      if (range === undefined || range.count === 0 || range.startOffset === 0) continue
      called.set(`${file}:${range.startOffset}`, { file, name, offset: range.startOffset })
    }
  }
  return called
}

type Send = () => Promise<Answer>

const expectSuccess = async (send: Send): Promise<void> => {
  const { status, text } = await send()
  if (status !== 200) throw new Error(`a request failed with ${status}: ${text}`)
}

/** The functions that each of several such requests calls. */
const measure = async (profiler: Session, send: Send): Promise<Called[]> => {
  for (let count = 0; count < warmUps; count += 1) await expectSuccess(send)
  let common: Map<string, Called> | undefined
  for (let count = 0; count < samples; count += 1) {
    await takeCalled(profiler)
    await expectSuccess(send)
    await pause(afterworkMs)
    const called = await takeCalled(profiler)
    const before = common ?? called
    common = new Map([...before].filter(([place]) => called.has(place)))
  }
  return [...(common?.values() ?? [])]
}

/** Whether the text of a function follows an opening parenthesis or a comma, as an argument of a call does. */
const isArgument = (text: string, offset: number): boolean => /[(,]\s*$/.test(text.slice(0, offset))

/** The positions of functions that need a name and have none. */
const nameless = (called: readonly Called[]): string[] =>
  called.flatMap(({ file, name, offset }) => {
    if (name !== '') return []
    const text = readFileSync(`${project}${file}`, 'utf8')
    if (isArgument(text, offset)) return []
    const line = text.slice(0, offset).split('\n').length
    return [`${file}:${line}: ${text.slice(offset).split('\n', 1)[0]}`]
  })

/** The requests to measure, by method and path. */
const requestsTo = async (core: Core, address: string): Promise<Map<string, Send>> => {
  const client = httpClient(address)
  const person = { email: 'person@example.com', password: 'correct horse battery staple 7' }
  const operator = { ...person, email: 'operator@example.com' }
  const actor = { kind: 'command-line' } as const
  await core.createAccount({ ...person, roles: [], actor })
  await core.createAccount({ ...operator, roles: ['operator'], actor })
  const session = await client.logInForCookie(person)
  const { accessToken: token } = await client.logIn(operator, { audience: core.config.issuer })
  let { refreshToken } = await client.logIn(person)
  return new Map([
    [
      'POST /refresh',
      async () => {
        const answer = await client.refresh(refreshToken)
        refreshToken = answer.refreshCookie ?? ''
        return answer
      },
    ],
    ['POST /login', () => client.logIn(person)],
    [
      'POST /admin/revoke',
      () => client.post('/admin/revoke', { token, body: { jti: newId(systemRandom) } }),
    ],
    ['GET /session', () => client.get('/session', { session })],
  ])
}

const print = (line: string): void => void process.stdout.write(`${line}\n`)

/** Prints what a request runs through, and returns whether it is within the limits. */
const report = (request: string, called: readonly Called[]): boolean => {
  const files = [...new Set(called.map(({ file }) => file))].sort()
  const limit = limits.get(request) ?? Number.POSITIVE_INFINITY
  const bound = Number.isFinite(limit) ? ` (limit: ${limit})` : ''
  print(`${request.padEnd(20)}${String(files.length).padStart(3)} files${bound}`)
  if (process.argv.includes('-v')) for (const file of files) print(`  ${file}`)
  const faults = nameless(called)
  for (const fault of faults) print(`  a function without a name: ${fault}`)
  // Without any file nothing was measured.
  return files.length > 0 && files.length <= limit && faults.length === 0
}

/** Starts the service without its background work. Returns its address. */
const start = async (onStop: (close: () => Promise<unknown>) => void): Promise<[Core, string]> => {
  const scratch = await scratchFolder('reach')
  onStop(scratch.remove)
  // If root starts an embedded Postgres, it runs as another user, who must be able to enter the folder.
  await chmod(scratch.path, 0o755)
  const config = loadConfig({ DATA_DIR: `${scratch.path}/data`, ISSUER: 'http://127.0.0.1:8088' })
  const stores = await openStores(config, { joinsRunning: false })
  onStop(stores.close)
  await prepareSchema(config, stores)
  const core = await openCore(config, stores, {
    random: systemRandom,
    report: (error, what) => print(`${what}: ${error}`),
    reportEnd: print,
  })
  onStop(core.close)
  await core.machine.clock.start()
  // At the log level of a real service, because writing lines is part of a request.
  const log = openLog({ ...config, logStream: { write: () => undefined } })
  const app = await createApp(core, log)
  onStop(app.close)
  onStop(core.revocations.stop)
  await core.revocations.start(AbortSignal.timeout(30_000))
  return [core, await app.listen({ host: '127.0.0.1', port: 0 })]
}

const toClose: (() => Promise<unknown>)[] = []
try {
  const [core, address] = await start((close) => toClose.unshift(close))
  const requests = await requestsTo(core, address)
  const profiler = new Session()
  profiler.connect()
  await profiler.post('Profiler.enable')
  await profiler.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })
  for (const [request, send] of requests) {
    if (!report(request, await measure(profiler, send))) process.exitCode = 1
  }
  profiler.disconnect()
} finally {
  for (const close of toClose) await close()
}
