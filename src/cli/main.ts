#!/usr/bin/env node
import { exitCodes } from '../explain-failure.ts'
import { runCommandLine } from './command-line.ts'

// A reader that stops early (`cardea account list | head`) is no failure. A result that cannot be written is one: it may contain a secret.
process.stdout.on('error', ({ code, message }: NodeJS.ErrnoException) => {
  if (code === 'EPIPE') process.exit(0)
  process.stderr.write(
    `error: the result could not be written: ${message}\nhint: what the command changed is done; give standard output room and see with \`list\`\n`,
  )
  process.exit(exitCodes.failed)
})
// Then only the exit code reports the failure.
process.stderr.on('error', () => undefined)

process.exitCode = await runCommandLine(process.argv.slice(2))
