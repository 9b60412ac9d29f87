#!/usr/bin/env node
import { runCommandLine } from './command-line.ts'

// A reader that has seen enough (`cardea account list | head`) is no failure.
process.stdout.on('error', () => process.exit(0))

process.exitCode = await runCommandLine(process.argv.slice(2))
