#!/usr/bin/env node
// The command of `npx cardea` in a clone before the first `npm start`. It runs with any installed Node and without dependencies. After
// that, `node_modules/.bin/cardea` leads directly to `src/cli/main.ts`.
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const project = join(dirname(fileURLToPath(import.meta.url)), '..')
const minimumNode = 24

const tell = (message, hint) => {
  process.stderr.write(`error: ${message}\nhint: ${hint}\n`)
  process.exitCode = 1
}

if (!existsSync(join(project, 'node_modules', 'commander'))) {
  tell('this clone is not set up yet', 'run `npm start` once: it installs what the commands need')
} else if (Number.parseInt(process.versions.node, 10) < minimumNode) {
  tell(
    `Node ${minimumNode} or later is needed, and this is ${process.version}`,
    'run `npm start` once: it installs a Node that the commands find by themselves',
  )
} else {
  await import('../src/cli/main.ts')
}
