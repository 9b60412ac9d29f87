import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * Each line of the standard input is the pid of the server that now works in the folder ($1), or `removed`. At the end of the input, which
 * is the end of the test process however it went, that server is ended, by force after 10 s, and the folder removed. Processes whose
 * working directory is in the folder are woken first: a frozen server obeys no signal. (A zombie, whose new parent may take its time,
 * has no working directory any more: it has ended.)
 */
const caretaker = `
pid=
while read -r line; do pid=$line; done
[ "$pid" = removed ] && exit
for process in /proc/[0-9]*
do
  case "$(readlink "$process/cwd")" in "$1"|"$1"/*) kill -s CONT "\${process#/proc/}" ;; esac
done
if [ -n "$pid" ] && kill -s INT "$pid"
then
  tenths=0
  while [ "$tenths" -lt 100 ] && readlink "/proc/$pid/cwd"
  do
    sleep 0.1
    tenths=$((tenths + 1))
  done
  kill -s KILL "$pid"
fi
rm -rf "$1"
`

export type ScratchFolder = {
  readonly path: string
  /** Names the server to end if this process dies; an empty text: none any more. */
  readonly watch: (pid: number | '') => void
  readonly remove: () => Promise<void>
}

/** A folder for a server of a test, which outlives neither `remove()` nor this process, even when that is killed. */
export const scratchFolder = async (purpose: string): Promise<ScratchFolder> => {
  const path = await mkdtemp(join(tmpdir(), `cardea-test-${purpose}-`))
  const child = spawn('sh', ['-c', caretaker, 'cardea-test-caretaker', path], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  child.unref()
  return {
    path,
    watch: (pid) => {
      child.stdin.write(`${pid}\n`)
    },
    remove: async () => {
      await rm(path, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 })
      const ended = once(child, 'exit')
      child.ref()
      child.stdin.end('removed\n')
      await ended
    },
  }
}
