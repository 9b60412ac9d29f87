import { spawn } from 'node:child_process'

/**
 * The whole environment of the programs started here. Not the service's own: a stray `PGPORT` or `LD_PRELOAD` must not reach them,
 * nor the service's secrets, and `C` keeps Postgres's messages in the language that is read back from its log.
 */
export const plainEnvironment = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LC_ALL: 'C',
  TZ: 'UTC',
}

export type Program = {
  readonly command: string
  readonly args: readonly string[]
  /** Written to the standard input, which is then closed: the way for anything secret, as command lines are public. */
  readonly input?: string
}

/** Runs a program to its end. Throws with what it wrote to the standard error when it fails or is not there. */
export const runProgram = async ({ command, args, input = '' }: Program): Promise<void> =>
  await new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env: plainEnvironment,
      cwd: '/',
      stdio: ['pipe', 'ignore', 'pipe'],
    })
    let errorText = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errorText = (errorText + text).slice(-4096)
    })
    // A program that ends without reading all of its input is judged by its exit code.
    child.stdin.on('error', () => undefined)
    child.stdin.end(input)
    child.once('error', reject)
    child.once('close', (code, signal) => {
      if (code === 0) resolve()
      else reject(new Error(`${command} failed (${code ?? signal}): ${errorText.trim()}`))
    })
  })
