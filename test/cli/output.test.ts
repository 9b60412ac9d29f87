import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, openSync } from 'node:fs'
import { expect, onTestFinished, test } from 'vitest'
import { cliPath } from './run-cli.ts'

const runInto = async (
  args: readonly string[],
  stdout: number | 'pipe',
  stderr: number | 'pipe',
) => {
  const child = spawn(process.execPath, [cliPath, ...args], { stdio: ['ignore', stdout, stderr] })
  let told = ''
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    told += chunk
  })
  const [code] = await once(child, 'close')
  return { code, told }
}

test('a result that standard output has no room for is a failure, and errors that cannot be written change no exit code', async () => {
  const full = openSync('/dev/full', constants.O_WRONLY)
  onTestFinished(async () => {
    closeSync(full)
  })
  const lost = await runInto(['--version'], full, 'pipe')
  expect(lost.code).toBe(1)
  expect(lost.told).toMatch(/^error: the result could not be written: .*ENOSPC.*\nhint: .+\n$/)
  expect(await runInto(['nothing'], 'pipe', full)).toMatchObject({ code: 2 })
})
