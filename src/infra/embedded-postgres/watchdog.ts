import { spawn } from 'node:child_process'
import { plainEnvironment } from './run-program.ts'

/**
 * Its standard input is a pipe from this process. A line on it means "ended in order"; the end of the file without one means that
 * this process is gone, however it went, and then the postmaster ($1) is ended: stopped ones are woken first, as they obey no other
 * signal; fast shutdown; after 5 s at once; after 10 s by force.
 */
const script = `
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
  const child = spawn('sh', ['-c', script, 'cardea-watchdog', String(pid)], {
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
