import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'

/** One instruction, with the captured parts of its line, as written. */
export type Step = { readonly word: string; readonly args: readonly (string | undefined)[] }

export type Stage = {
  readonly base: string | undefined
  readonly name: string | undefined
  readonly steps: readonly Step[]
}

/**
 * The supported instructions, each in a single form: without options, wildcards and variables, which have their own rules. Commands that
 * run later must use the exec form, because a shell would not pass on the stop signal.
 */
const forms: ReadonlyMap<string, RegExp> = new Map([
  ['FROM', /^(\S+)(?: AS (\w+))?$/],
  ['WORKDIR', /^(\/[\w/]*)$/],
  ['COPY', /^(?:--from=(\w+) )?(?!-)([\w@./-]+(?: [\w@./-]+)*) ([\w@./-]+)$/],
  ['RUN', /^(?!--|\[)(.+)$/],
  ['ENV', /^(\w+)=([^\s"'$\\]*)$/],
  ['USER', /^(\w+)$/],
  ['EXPOSE', /^(\d+)$/],
  ['STOPSIGNAL', /^(SIG[A-Z]+)$/],
  ['HEALTHCHECK', /^(?:--[a-z-]+=\w+ )*CMD (\[(?:"[^"\\]*"(?:, )?)+\])$/],
  ['CMD', /^(\[(?:"[^"\\]*"(?:, )?)+\])$/],
])

const linesOf = (text: string): string[] =>
  text.split('\n').filter((line) => line.trim() !== '' && !/^\s*#/.test(line))

const refuse = (line: string): Error =>
  new Error(
    `the rehearsal does not know how to follow \`${line}\`: teach it, or write it otherwise`,
  )

/** @throws Error for an instruction, or a form of one, that is not supported */
export const readDockerfile = (text: string): Stage[] => {
  const stages: (Stage & { readonly steps: Step[] })[] = []
  for (const line of linesOf(text)) {
    const [, word = '', rest = ''] = /^([A-Z]+) (.+)$/.exec(line) ?? []
    const args = forms.get(word)?.exec(rest)?.slice(1)
    const stage = stages.at(-1)
    if (args && word === 'FROM') stages.push({ base: args[0], name: args[1], steps: [] })
    else if (args && stage) stage.steps.push({ word, args })
    else throw refuse(line)
  }
  return stages
}

/**
 * The paths that are sent to a build, with everything below them. The .dockerignore must exclude everything first and then list what is
 * sent.
 * @throws Error for any other pattern
 */
export const readDockerignore = (text: string): string[] => {
  const [first = '', ...kept] = linesOf(text)
  for (const line of kept) if (!/^![\w./-]+$/.test(line)) throw refuse(line)
  if (first !== '*') throw refuse(first)
  return kept.map((line) => line.slice(1))
}

export type Environment = Readonly<Record<string, string>>

/** The result of a stage. `said` contains the instructions about how to run it. */
export type Image = {
  readonly env: Environment
  readonly said: ReadonlyMap<string, string>
  /** The path on this machine of a path in the image. */
  readonly inside: (path: string) => string
}

type Build = {
  /** For the sent files, and for each stage. */
  readonly folder: string
  /** The PATH of the base image: Node and the programs of the machine. */
  readonly path: string
  readonly print: (text: string) => void
}

/** Variables that an npm script adds about the project and its mode. Other npm settings, such as the registry, are kept. */
const ofScript =
  /^(NODE_ENV|NODE_OPTIONS|INIT_CWD|npm_(lifecycle|package|config_(local_prefix|omit|include|production))\w*)$/i
const machine = Object.entries(process.env).filter(([name]) => !ofScript.test(name))

const followStage = ({ name = 'image', steps }: Stage, { folder, path, print }: Build): Image => {
  const said = new Map([['WORKDIR', '/']])
  const env: Record<string, string> = {}
  const inside = (place: string) => join(folder, name, resolve(said.get('WORKDIR') ?? '/', place))
  const copy = (from: string, target: string) => {
    const isIntoFolder = target.endsWith('/') && statSync(from).isFile()
    const to = join(inside(target), isIntoFolder ? basename(from) : '')
    cpSync(from, to, { recursive: true, verbatimSymlinks: true })
  }
  const run = (script: string) => {
    // Folders that exist only in the base image are those of the machine.
    const here = script.replace(/(?<= )\/(?=(?:app|usr\/local\/bin)\/)/g, inside('/'))
    const around = { ...Object.fromEntries(machine), ...env, PATH: path }
    execFileSync('sh', ['-c', here], { cwd: inside('.'), env: around, stdio: 'inherit' })
  }
  mkdirSync(inside('/usr/local/bin'), { recursive: true })
  for (const { word, args } of steps) {
    const [first = '', second = '', third = ''] = args
    print(`${name}: ${word} ${args.join(' ')}`)
    if (word === 'RUN') run(first)
    else if (word === 'ENV') env[first] = second
    else if (word === 'COPY') {
      for (const source of second.split(' ')) copy(join(folder, first || 'context', source), third)
    } else said.set(word, first)
    mkdirSync(inside('.'), { recursive: true })
  }
  return { env, said, inside }
}

/**
 * Runs every stage in a separate folder.
 * @returns the last one, which is the image
 */
export const buildImage = (project: string, build: Build): Image => {
  const read = (name: string) => readFileSync(join(project, name), 'utf8')
  for (const path of readDockerignore(read('.dockerignore'))) {
    cpSync(join(project, path), join(build.folder, 'context', path), { recursive: true })
  }
  const image = readDockerfile(read('Dockerfile'))
    .map((stage) => followStage(stage, build))
    .at(-1)
  if (!image) throw new Error('the Dockerfile has no stage')
  return image
}
