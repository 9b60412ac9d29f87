import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { version } from '../../src/app.ts'
import { runCli, runCliProcess } from './run-cli.ts'

const dataDir = await mkdtemp(join(tmpdir(), 'cardea-test-usage-'))
afterAll(async () => {
  await rm(dataDir, { recursive: true })
})

/** A command that went on in spite of all would work in the folder. */
const run = (args: readonly string[]) => runCli(args, { DATA_DIR: dataDir })

const secret = 'zX9-typed-by-mistake'

describe('a command that is not written as it must be', () => {
  test.each([
    ['no command', [], 'a command is missing'],
    ['an unknown command', ['acount'], "unknown command 'acount'"],
    ['a group without a command', ['account'], 'a command is missing'],
    ['an unknown option', ['migrate', '--fast'], "unknown option '--fast'"],
    ['too many words', ['migrate', 'now'], 'too many arguments'],
    ['a missing option', ['account', 'create'], "required option '--email <email>' not specified"],
    ['an option without its value', ['revoke', '--sid'], 'argument missing'],
    [
      'a bad role',
      ['account', 'create', '--email', 'a@b.example', '--role', 'No'],
      'A role starts',
    ],
    ['nothing to revoke', ['revoke'], 'exactly one thing'],
    [
      'two things to revoke',
      ['revoke', '--everyone', '--email', 'a@b.example'],
      'exactly one thing',
    ],
    [
      'an option that was given twice',
      ['revoke', '--email', 'a@b.example', '--email', 'c@d.example'],
      '--email was given twice',
    ],
    ['an id that is none', ['revoke', '--sid', 'abc'], '--sid is not an id'],
    ['a reason too long', ['revoke', '--everyone', '--reason', 'x'.repeat(201)], 'reason'],
    ['no account to change', ['account', 'disable'], 'exactly one account'],
  ])('says so for %s, with a hint and exit code 2, and does nothing', async (_, args, words) => {
    const { code, stderr } = await run(args)
    expect(code).toBe(2)
    expect(stderr).toMatch(/^error: .+\nhint: .+\n$/)
    expect(stderr).toContain(words)
    expect(await readdir(dataDir)).toEqual([])
  })

  test.each([
    ['everyone without a yes', ['revoke', '--everyone'], '--everyone needs a yes'],
    ['no password', ['account', 'create', '--email', 'a@b.example'], 'no password'],
  ])('says so for %s when nobody can be asked', async (_, args, words) => {
    const { code, stdout, stderr } = await run(args)
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toMatch(/^error: .+\nhint: .+\n$/)
    expect(stderr).toContain(words)
    expect(await readdir(dataDir)).toEqual([])
  })

  test('is told as JSON with --json, also when the arguments cannot be read', async () => {
    const args = ['revoke', '--json', '--no-such']
    const { code, stdout, stderr } = await runCliProcess(args, { DATA_DIR: dataDir })
    expect([code, stdout]).toEqual([2, ''])
    expect(JSON.parse(stderr)).toEqual({
      error: "unknown option '--no-such'",
      hint: expect.stringContaining('--help'),
      code: 'usage',
    })
  })

  test.each([
    ['--password=', [`--password=${secret}`]],
    ['--password', ['--password', secret]],
    ['a misspelt --pasword=', [`--pasword=${secret}`]],
    ['a guess at -p', [`-p${secret}`]],
    ['a word too many', [secret]],
  ])('never repeats a password given as an argument: %s', async (_, args) => {
    const create = ['account', 'create', '--email', 'a@b.example', ...args]
    const { code, stderr } = await run(create)
    expect(code).toBe(2)
    expect(stderr).not.toContain(secret)
  })

  test.each([
    ['more than one line holds', 'x'.repeat(70_000)],
    ['text that is not UTF-8', Buffer.of(0xff, 0xfe, 0x0a).toString('latin1')],
  ])('takes no password from %s', async (_, input) => {
    const bytes = Buffer.from(input, 'latin1')
    const create = ['account', 'create', '--email', 'a@b.example']
    const { code, stderr } = await runCliProcess(create, { DATA_DIR: dataDir }, bytes)
    expect(code).toBe(2)
    expect(stderr).toMatch(/standard input/)
  })
})

test('help and version are answers, not failures', async () => {
  const help = await run(['account', 'create', '--help'])
  expect([help.code, help.stderr]).toEqual([0, ''])
  expect(help.stdout).toContain('--email <email>')
  expect(help.stdout).not.toContain('--password')
  expect(await runCliProcess(['--version'], {})).toMatchObject({
    code: 0,
    stdout: `${version}\n`,
    stderr: '',
  })
})

test.each(['redis://default@canary.example', 'redis://canary:@localhost'])(
  'the Redis URL %j is refused with the settings, before any store is opened, and not shown',
  async (url) => {
    const { code, stdout, stderr } = await runCli(['account', 'list'], { REDIS_URL: url })
    expect([code, stdout]).toEqual([3, ''])
    expect(stderr).toMatch(/^error: REDIS_URL (needs|has) .*password.*\nhint: /)
    expect(stderr).not.toContain('canary')
  },
)

test('R129: every missing or bad setting is listed at once, by name and never by value', async () => {
  const settings = { NODE_ENV: 'production', CARDEA_SECRET: secret, PORT: 'eighty' }
  const { code, stdout, stderr } = await runCli(['account', 'list'], settings)
  expect([code, stdout]).toEqual([3, ''])
  for (const name of ['CARDEA_SECRET', 'DATABASE_URL', 'REDIS_URL', 'ISSUER', 'PORT']) {
    expect(stderr).toMatch(new RegExp(`^error: ${name} `, 'm'))
  }
  expect(stderr).toMatch(/\nhint: .+\n$/)
  expect(stderr).not.toMatch(/zX9|eighty/)
})
