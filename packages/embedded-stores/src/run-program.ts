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

/**
 * Its standard input is a pipe from this process. A line on it means "ended in order"; the end of the file without one means that
 * this process is gone, however it went, and then the postmaster ($1) is ended: stopped ones are woken first, as they obey no other
 * signal; fast shutdown; after 5 s at once; after 10 s by force.
 */
const watchdogScript = `
read -r order && exit 0
for signal in CONT INT QUIT KILL
do
  kill -s "$signal" "$1" 2>/dev/null || exit 0
  [ "$signal" = CONT ] && continue
  tenths=0
  while [ "$tenths" -lt 50 ] && kill -s 0 "$1" 2>/dev/null
  do
    sleep 0.1
    tenths=$((tenths + 1))
  done
done
`

/**
 * Sees to it that process `pid` does not outlive this one, kill -9 included, for which no handler of ours can run. Returns what to call
 * once the process has ended. Runs in a session of its own, out of reach of Ctrl-C, and keeps nothing waiting.
 */
export const startWatchdog = (pid: number): (() => void) => {
  const child = spawn('sh', ['-c', watchdogScript, 'cardea-watchdog', String(pid)], {
    env: plainEnvironment,
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  // Without a watchdog (no `sh`) the next start still finds and ends the left-over Postgres.
  child.on('error', () => undefined)
  child.stdin.on('error', () => undefined)
  child.unref()
  return () => child.stdin.end('done\n')
}
