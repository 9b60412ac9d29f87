// Follows the Dockerfile step by step in a scratch folder and runs what comes out of it, as docker-compose.yml would: so that both are
// known to work on machines, such as those of the CI, that have no container engine.
import { chmod, copyFile, mkdir, readFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { scratchFolder } from '../../test/support/scratch-folder.ts'
import { build } from './build.ts'
import { buildContext } from './build-context.ts'
import { readDockerfile } from './dockerfile.ts'
import { rehearse } from './rehearse.ts'

const project = fileURLToPath(new URL('../../', import.meta.url))

/** The programs of the machine, and in front of them the Node that this runs on. None of the project's own. */
const basePath = (node: string): string => {
  const found = (process.env['PATH'] ?? '').split(delimiter)
  return [node, ...found.filter((folder) => !folder.includes('node_modules'))].join(delimiter)
}

/** Settings of npm (where the registry is) count; what an npm script adds about this project, and its mode, do not. */
const baseEnvironment = (path: string): Record<string, string> => {
  const kept = Object.entries(process.env).filter(
    ([name]) =>
      !/^(NODE_ENV|NODE_OPTIONS|INIT_CWD|npm_(lifecycle|package|config_(local_prefix|omit|include|production))\w*)$/i.test(
        name,
      ),
  )
  return { ...Object.fromEntries(kept.map(([name, value]) => [name, value ?? ''])), PATH: path }
}

const scratch = await scratchFolder('image')
try {
  // Another user must be able to walk in: the service does not run as root.
  await chmod(scratch.path, 0o755)
  const node = join(scratch.path, 'node')
  await mkdir(node)
  await copyFile(process.execPath, join(node, 'node'))
  const path = basePath(node)
  const stages = readDockerfile(await readFile(join(project, 'Dockerfile'), 'utf8'))
  const image = await build(stages, {
    project,
    context: await buildContext(project),
    folder: scratch.path,
    machine: baseEnvironment(path),
    report: (line) => process.stdout.write(`${line}\n`),
  })
  await rehearse(project, image, scratch.path, path)
  process.stdout.write('the image works\n')
} finally {
  await scratch.remove()
}
