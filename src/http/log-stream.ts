import { pino } from 'pino'

/** Written when this much has gathered, bytes, */
const gatheredBytes = 4096

/** or after this long, milliseconds, whichever comes first. */
const flushEveryMs = 200

/**
 * Standard output, written in pieces of some lines: one system call a line is six per cent of the CPU of a refresh. What has gathered is
 * written when the process ends by itself; a kill -9 loses at most the last 200 ms of the log, and nothing of the audit trail, which
 * is in the database.
 */
export const openLogStream = () => {
  const stream = pino.destination({
    fd: 1,
    sync: true,
    minLength: gatheredBytes,
    periodicFlush: flushEveryMs,
  })
  process.once('exit', () => stream.flushSync())
  return stream
}
