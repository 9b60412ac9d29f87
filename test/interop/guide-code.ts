import { execFile } from 'node:child_process'
import { cp, mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { readPage } from '../documentation/markdown.ts'
import type { Program } from '../support/programs/debian-packages.ts'
import { findInterpreter, type LanguageName } from '../support/programs/foreign-languages.ts'
import { type ForeignProcess, startForeign } from '../support/programs/foreign-process.ts'
import { scratchFolder } from '../support/programs/scratch-folder.ts'

export const guidePage = 'docs/guides/verify-in-any-language.md'

/** The code of a page whose first line is ` ```language name `. */
export const namedBlock = (page: string, name: string): string => {
  const fence = '```'
  const start = new RegExp(`^${fence}[a-z]+ ${name.replaceAll('.', '\\.')}\\n`, 'm').exec(
    readPage(page),
  )
  if (!start) throw new Error(`${page} has no code called ${name}`)
  const rest = readPage(page).slice(start.index + start[0].length)
  return rest.slice(0, rest.indexOf(`\n${fence}`) + 1)
}

/** The guide's verifier, for tokens of this issuer that are meant for it as well. */
export const guideVerifier = (issuer: string): GuideFile => ({
  page: guidePage,
  name: 'cardea_tokens.py',
  replace: { 'https://auth.example.com': issuer, 'https://shop.example.com': issuer },
})

/** A file of the guide, and what to put in the place of its examples: addresses, mostly. */
export type GuideFile = {
  readonly page: string
  readonly name: string
  readonly replace?: Readonly<Record<string, string>>
  /** Written in front of it. */
  readonly before?: string
}

const sourceOf = ({ page, name, replace = {}, before = '' }: GuideFile): string => {
  const block = namedBlock(page, name)
  for (const example of Object.keys(replace)) {
    if (!block.includes(example)) throw new Error(`${name} does not say ${example}`)
  }
  return Object.entries(replace).reduce(
    (text, [example, value]) => text.replaceAll(example, value),
    before + block,
  )
}

const driverFolder = fileURLToPath(new URL('drivers', import.meta.url))

/** How each interpreter finds the files of the folder that it runs in. */
const searchHere: Record<Exclude<LanguageName, 'go'>, readonly string[]> = {
  python: [],
  perl: ['-I.'],
  ruby: ['-I.'],
}

/** The files of the folder are packages by their path; the driver is the program. */
const buildGo = async (go: Program, folder: string, driver: string): Promise<Program> => {
  const env = { ...go.env, GOPATH: `${folder}:${go.env['GOPATH']}` }
  await promisify(execFile)(go.path, ['build', '-o', 'driver', driver], { cwd: folder, env })
  return { path: join(folder, 'driver'), env }
}

/**
 * A process of another language that runs the guide's own code, in a folder with nothing else but the driver that calls it. Without files
 * the driver uses libraries only.
 */
export const runGuide = async (
  language: LanguageName,
  driver: string,
  files: readonly GuideFile[],
  args: readonly string[] = [],
): Promise<ForeignProcess> => {
  const program = await findInterpreter(language)
  const folder = await scratchFolder('guide')
  for (const file of files) {
    const path = join(folder.path, language === 'go' ? 'src' : '', file.name)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, sourceOf(file))
  }
  await cp(join(driverFolder, driver), join(folder.path, driver))
  const child =
    language === 'go'
      ? startForeign(await buildGo(program, folder.path, driver), args, folder.path)
      : startForeign(program, [...searchHere[language], driver, ...args], folder.path)
  return {
    ask: child.ask,
    stop: async () => {
      await child.stop()
      await folder.remove()
    },
  }
}
