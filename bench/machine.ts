import { execFileSync, spawnSync } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { availableParallelism, cpus, totalmem } from 'node:os'

/** `sysconf(_SC_CLK_TCK)` of every Linux that Node runs on. */
const ticksPerSecond = 100

/** User and system time of processes since they began, in seconds. A process that has ended adds nothing. */
export const cpuSecondsOf = async (pids: readonly number[]): Promise<number> => {
  let ticks = 0
  for (const pid of pids) {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
    // proc_pid_stat(5): after the name in parentheses, utime and stime are the 12th and 13th fields.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    ticks += Number(fields[11] ?? 0) + Number(fields[12] ?? 0)
  }
  return ticks / ticksPerSecond
}

/** Whether processes can be bound to one core each on this machine. */
export const canPin = (): boolean =>
  availableParallelism() > 1 && spawnSync('taskset', ['--version']).status === 0

/** Binds this process, and all that it starts from now on, to one core. @throws when there is no `taskset` or no such core */
export const moveToCore = (core: number): void => {
  execFileSync('taskset', ['-a', '-c', '-p', String(core), String(process.pid)], {
    stdio: 'ignore',
  })
}

export const describeMachine = (pinned: readonly string[]) => ({
  date: new Date().toISOString().slice(0, 10),
  cores: availableParallelism(),
  processor: cpus()[0]?.model.trim() ?? 'unknown',
  memoryGb: Math.round(totalmem() / 1e9),
  node: process.version,
  placement:
    pinned.length === 0
      ? 'nothing pinned: the measured process, Postgres and the load share all cores'
      : `${pinned.join(' and ')}: the measured process on core 0, Postgres and the load on core 1; else all share all cores`,
})

export type Machine = ReturnType<typeof describeMachine>
