import { execFile } from 'node:child_process'
import { symlink, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { scratchFolder } from '../support/programs/scratch-folder.ts'

type Manifest = { readonly apiVersion: string; readonly kind: string }

/** Written out as a literal of its type, so that the compiler refuses a field that does not exist. */
const literalOf = (manifest: Manifest, place: number): string => {
  const { apiVersion, kind } = manifest
  const module = `kubernetes-models/${apiVersion}/${kind}`
  return `import type { I${kind} as Type${place} } from '${module}'
export const object${place}: Type${place} = ${JSON.stringify(manifest)}\n`
}

/** What the compiler says of these objects against the declarations of the Kubernetes API: one line for each error. */
export const compileObjects = async (manifests: readonly Manifest[]): Promise<string[]> => {
  const folder = await scratchFolder('manifests')
  try {
    await symlink(resolve('node_modules'), join(folder.path, 'node_modules'))
    const file = join(folder.path, 'manifests.mts')
    await writeFile(file, manifests.map(literalOf).join(''))
    const compiler = resolve('node_modules/typescript/bin/tsc')
    const options = ['--noEmit', '--strict', '--module', 'nodenext', '--skipLibCheck']
    const { stdout } = await promisify(execFile)(process.execPath, [compiler, ...options, file], {
      cwd: folder.path,
    }).catch((error: { stdout: string }) => error)
    return stdout.split('\n').filter((line) => /error TS\d+/.test(line))
  } finally {
    await folder.remove()
  }
}
