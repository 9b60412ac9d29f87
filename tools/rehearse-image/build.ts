import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { Stage, Step } from './dockerfile.ts'

/** A stage that was followed: where its files lie and what it says of how to run it. */
export type Image = {
  readonly root: string
  readonly workdir: string
  readonly env: Readonly<Record<string, string>>
  readonly user: string | undefined
  readonly health: readonly string[]
  readonly command: readonly string[]
  readonly stopSignal: string
}

export type BuildOptions = {
  readonly project: string
  /** Paths below `project` that a build is sent. */
  readonly context: readonly string[]
  /** A folder for the stages. */
  readonly folder: string
  /** What programs of the base image find: PATH with the right Node, HOME with the settings of npm. */
  readonly machine: Readonly<Record<string, string>>
  readonly report: (line: string) => void
}

type Mutable<Value> = { -readonly [Name in keyof Value]: Value[Name] }

/** `/app/x` of the image is `<root>/app/x` here. Folders that only the base image has stay the machine's. */
const ownFolders = /(?<=^|[\s=:"'])\/(?=(?:app|usr\/local\/bin)(?:\/|\s|$))/g

const inside = (image: Pick<Image, 'root' | 'workdir'>, path: string): string =>
  join(image.root, resolve(image.workdir, path))

const runScript = async (script: string, image: Image, { machine }: BuildOptions) => {
  const env = { ...machine, ...image.env }
  const cwd = inside(image, '.')
  const mapped = script.replace(ownFolders, `${image.root}/`)
  const child = spawn('sh', ['-c', mapped], { cwd, env, stdio: ['ignore', 'inherit', 'inherit'] })
  const [code] = await once(child, 'exit')
  if (code !== 0) throw new Error(`RUN ${script} ended with ${String(code)}`)
}

/** The files of the context at or below `source`, and none that .dockerignore keeps out. */
const copyFromContext = async (source: string, target: string, options: BuildOptions) => {
  const path = source.replace(/^\.\//, '')
  const files = options.context.filter((file) => file === path || file.startsWith(`${path}/`))
  if (files.length === 0) throw new Error(`COPY ${source}: no such file is sent to a build`)
  for (const file of files) {
    const below = file === path ? '' : file.slice(path.length)
    const to = `${target}${below}`
    await mkdir(dirname(to), { recursive: true })
    await cp(join(options.project, file), to)
  }
}

type Copy = Extract<Step, { kind: 'copy' }>

const copy = async (
  step: Copy,
  image: Image,
  stages: Map<string, Image>,
  options: BuildOptions,
) => {
  const target = inside(image, step.target)
  for (const source of step.sources) {
    const to = step.target.endsWith('/') ? join(target, source.split('/').at(-1) ?? '') : target
    if (step.stage === undefined) {
      await copyFromContext(source, to, options)
      continue
    }
    const from = stages.get(step.stage)
    if (from === undefined) throw new Error(`COPY --from=${step.stage}: no such stage`)
    await mkdir(dirname(to), { recursive: true })
    await cp(join(from.root, source), to, { recursive: true, verbatimSymlinks: true })
  }
}

const describeStep = (step: Step): string => {
  switch (step.kind) {
    case 'run':
      return `RUN ${step.script}`
    case 'copy':
      return `COPY ${step.stage ? `--from=${step.stage} ` : ''}${[...step.sources, step.target].join(' ')}`
    default:
      return ''
  }
}

/** Things to do come before things to know: only the first kind can fail. */
const follow = async (
  step: Step,
  image: Mutable<Image>,
  stages: Map<string, Image>,
  options: BuildOptions,
): Promise<void> => {
  switch (step.kind) {
    case 'run':
      return await runScript(step.script, image, options)
    case 'copy':
      return await copy(step, image, stages, options)
    case 'workdir':
      image.workdir = resolve(image.workdir, step.path)
      await mkdir(inside(image, '.'), { recursive: true })
      return
    case 'env':
      image.env = { ...image.env, [step.name]: step.value }
      return
    case 'user':
      image.user = step.name
      return
    case 'health':
      image.health = step.command
      return
    case 'command':
      image.command = step.command
      return
    case 'signal':
      image.stopSignal = step.name
      return
    case 'port':
      return
  }
}

const emptyImage = (root: string): Image => ({
  root,
  workdir: '/',
  env: {},
  user: undefined,
  health: [],
  command: [],
  stopSignal: 'SIGTERM',
})

/** Follows every stage in a folder of its own. @returns the last one, which is the image */
export const build = async (stages: readonly Stage[], options: BuildOptions): Promise<Image> => {
  const done = new Map<string, Image>()
  let last: Image | undefined
  for (const [index, stage] of stages.entries()) {
    const image: Mutable<Image> = emptyImage(join(options.folder, stage.name ?? `stage-${index}`))
    await mkdir(join(image.root, 'usr/local/bin'), { recursive: true })
    for (const step of stage.steps) {
      const text = describeStep(step)
      if (text !== '') options.report(`${stage.name ?? 'image'}: ${text}`)
      await follow(step, image, done, options)
    }
    if (stage.name !== undefined) done.set(stage.name, image)
    last = image
  }
  if (last === undefined) throw new Error('the Dockerfile has no stage')
  await stat(inside(last, '.'))
  return last
}
