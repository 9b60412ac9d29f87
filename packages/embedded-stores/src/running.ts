import { readdir, readFile, readlink, realpath, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { clusterFolder, readPasswords, unlessForbidden, urlsFor } from './cluster.ts'

type Postmaster = { readonly pid: number; readonly port: number; readonly isReady: boolean }

const pidFile = (directory: string): string => join(clusterFolder(directory), 'postmaster.pid')

/** Reads `postmaster.pid`: process id on line 1, port on line 4, status on line 8 (src/include/utils/pidfile.h of PostgreSQL). */
export const readPostmaster = async (directory: string): Promise<Postmaster | undefined> => {
  const text = await readFile(pidFile(directory), 'utf8').catch(unlessForbidden(''))
  const lines = text.split('\n')
  const pid = Number(lines[0])
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined
  return { pid, port: Number(lines[3]), isReady: lines[7]?.trim() === 'ready' }
}

const isPostgresIn = async (pid: string, folder: string): Promise<boolean> => {
  const [cwd, name] = await Promise.all([
    readlink(`/proc/${pid}/cwd`).catch(() => ''),
    readFile(`/proc/${pid}/comm`, 'utf8').catch(() => ''),
  ])
  return cwd === folder && name === 'postgres\n'
}

/**
 * The ids of all processes of the cluster in `directory`, the postmaster and its children: all have the cluster's folder as working
 * directory. A pid file alone proves nothing, because the number may belong to another program by now.
 */
export const processesOn = async (directory: string): Promise<number[]> => {
  const folder = await realpath(clusterFolder(directory)).catch(() => undefined)
  if (folder === undefined) return []
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const matches = await Promise.all(pids.map((pid) => isPostgresIn(pid, folder)))
  return pids.filter((_, place) => matches[place]).map(Number)
}

const signalAll = (pids: readonly number[], signal: NodeJS.Signals): void => {
  for (const pid of pids) {
    try {
      process.kill(pid, signal)
    } catch {
      // It ended between the check and the signal, which is the desired state.
    }
  }
}

/**
 * A killed postmaster whose parent has not waited for it, or never will (a container whose first process reaps no children), still has its
 * process id. Postgres would take the id in `postmaster.pid` for a running server and refuse to start.
 */
const forgetZombie = async (directory: string): Promise<void> => {
  const postmaster = await readPostmaster(directory)
  if (postmaster === undefined) return
  const stat = await readFile(`/proc/${postmaster.pid}/stat`, 'utf8').catch(() => '')
  // proc_pid_stat(5): number, name in parentheses, state.
  if (stat.includes('(postgres) Z ')) await rm(pidFile(directory), { force: true })
}

const endPolitely = async (directory: string, pids: readonly number[]): Promise<void> => {
  const postmaster = (await readPostmaster(directory))?.pid
  // SIGINT would only cancel the statement of a child whose postmaster is gone. SIGQUIT ends it.
  if (postmaster === undefined || !pids.includes(postmaster)) signalAll(pids, 'SIGQUIT')
  else signalAll([postmaster], 'SIGINT')
}

/**
 * Ends all processes of the cluster and waits for them: fast shutdown first, after 5 s immediate shutdown (the next start recovers), after
 * 10 s SIGKILL. Needed after a kill -9 of the service, when its watchdog may still be working.
 */
export const endLeftOverPostgres = async (directory: string): Promise<void> => {
  const stages = [
    async (pids: readonly number[]) => await endPolitely(directory, pids),
    async (pids: readonly number[]) => signalAll(pids, 'SIGQUIT'),
    async (pids: readonly number[]) => signalAll(pids, 'SIGKILL'),
  ]
  for (const end of stages) {
    await end(await processesOn(directory))
    for (let waitedMs = 0; waitedMs < 5000; waitedMs += 20) {
      if ((await processesOn(directory)).length === 0) return await forgetZombie(directory)
      await sleep(20)
    }
  }
  throw new Error(`a Postgres that runs on ${directory} cannot be ended`)
}

export type RunningPostgres = {
  readonly ownerUrl: string
  readonly appUrl: string
  readonly pid: number
}

/** The Postgres that serves `directory`, for a command that uses a running service. Undefined when none runs or it is not ready. */
export const findRunningEmbeddedPostgres = async (
  directory: string,
): Promise<RunningPostgres | undefined> => {
  const postmaster = await readPostmaster(directory)
  if (!postmaster?.isReady) return undefined
  if (!(await processesOn(directory)).includes(postmaster.pid)) return undefined
  return {
    ...urlsFor(await readPasswords(directory), postmaster.port),
    pid: postmaster.pid,
  }
}
