import { spawn } from 'node:child_process'

/**
 * The whole environment of the started programs. It is not that of the service: a `PGPORT` or `LD_PRELOAD` and the service's secrets must
 * not reach them, and `C` keeps Postgres's log in the language that is parsed here.
 */
export const plainEnvironment = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LC_ALL: 'C',
  TZ: 'UTC',
}

export type Program = {
  readonly command: string
  readonly args: readonly string[]
  /** Written to standard input, which is then closed. Use it for secrets, because command lines are public. */
  readonly input?: string
}

/** Runs a program to its end. Throws with its standard error when it fails or does not exist. */
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
 * Its standard input is a pipe from this process. A line on it means that Postgres was stopped normally. The end of the file without a line
 * means that this process is gone, for whatever reason, and then the postmaster ($1) is ended. A stopped postmaster is continued first,
 * because it handles no other signal; then fast shutdown; after 5 s immediate shutdown; after 10 s SIGKILL.
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
 * Makes sure that process `pid` does not outlive this one, even after kill -9, when no handler of ours can run. Returns a function to call
 * once the process has ended. The watchdog runs in its own session, so Ctrl-C does not reach it, and it keeps no process alive.
 */
export const startWatchdog = (pid: number): (() => void) => {
  const child = spawn('sh', ['-c', watchdogScript, 'cardea-watchdog', String(pid)], {
    env: plainEnvironment,
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  // Without a watchdog (no `sh`) the next start still finds and ends a left-over Postgres.
  child.on('error', () => undefined)
  child.stdin.on('error', () => undefined)
  child.unref()
  return () => child.stdin.end('done\n')
}
