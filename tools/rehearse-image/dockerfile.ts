/** One instruction of a Dockerfile, as far as the rehearsal knows how to follow it. Paths are as written. */
export type Step =
  | { readonly kind: 'workdir'; readonly path: string }
  | {
      readonly kind: 'copy'
      readonly stage: string | undefined
      readonly sources: readonly string[]
      readonly target: string
    }
  | { readonly kind: 'run'; readonly script: string }
  | { readonly kind: 'env'; readonly name: string; readonly value: string }
  | { readonly kind: 'user'; readonly name: string }
  | { readonly kind: 'health'; readonly command: readonly string[] }
  | { readonly kind: 'command'; readonly command: readonly string[] }
  | { readonly kind: 'signal'; readonly name: string }
  | { readonly kind: 'port'; readonly port: number }

export type Stage = {
  readonly base: string
  readonly name: string | undefined
  readonly steps: readonly Step[]
}

const refuse = (line: string): Error =>
  new Error(
    `the rehearsal does not know how to follow \`${line}\`: teach it, or write it otherwise`,
  )

/** The exec form, the only one accepted for what runs later: a shell in between would swallow the stop signal. */
const execForm = (text: string, line: string): readonly string[] => {
  const words: unknown = text.startsWith('[') ? JSON.parse(text) : undefined
  if (!Array.isArray(words) || !words.every((word) => typeof word === 'string')) throw refuse(line)
  return words
}

const copyStep = (rest: string, line: string): Step => {
  const words = rest.split(/\s+/)
  const stage = words[0]?.startsWith('--from=') ? words.shift()?.slice('--from='.length) : undefined
  const target = words.pop()
  if (target === undefined || words.length === 0) throw refuse(line)
  // Other options, wildcards and the JSON form have rules of their own.
  if ([...words, target].some((word) => /^--|[*?[\]"$]/.test(word))) throw refuse(line)
  return { kind: 'copy', stage, sources: words, target }
}

const readers: Readonly<Record<string, (rest: string, line: string) => Step>> = {
  WORKDIR: (path) => ({ kind: 'workdir', path }),
  COPY: copyStep,
  RUN: (script, line) => {
    if (/^(--|\[)/.test(script)) throw refuse(line)
    return { kind: 'run', script }
  },
  ENV: (rest, line) => {
    const [, name, value] = /^(\w+)=([^\s"'$\\]*)$/.exec(rest) ?? []
    if (name === undefined || value === undefined) throw refuse(line)
    return { kind: 'env', name, value }
  },
  USER: (name) => ({ kind: 'user', name }),
  HEALTHCHECK: (rest, line) => {
    const [, command] = /^(?:--[a-z-]+=\w+\s+)*CMD\s+(.+)$/.exec(rest) ?? []
    return { kind: 'health', command: execForm(command ?? '', line) }
  },
  CMD: (rest, line) => ({ kind: 'command', command: execForm(rest, line) }),
  STOPSIGNAL: (name) => ({ kind: 'signal', name }),
  EXPOSE: (port) => ({ kind: 'port', port: Number(port) }),
}

const linesOf = (text: string): string[] =>
  text
    .split('\n')
    .filter((line) => !/^\s*#/.test(line))
    .join('\n')
    .replace(/\\\n/g, ' ')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')

/**
 * Reads the stages of a Dockerfile.
 * @throws Error at an instruction, or a form of one, that the rehearsal could not follow faithfully
 */
export const readDockerfile = (text: string): Stage[] => {
  const stages: (Stage & { readonly steps: Step[] })[] = []
  for (const line of linesOf(text)) {
    const [, word = '', rest = ''] = /^(\S+)\s+(.*)$/.exec(line) ?? []
    if (word === 'FROM') {
      const [, base, name] = /^(\S+)(?:\s+AS\s+(\S+))?$/.exec(rest) ?? []
      if (base === undefined) throw refuse(line)
      stages.push({ base, name, steps: [] })
      continue
    }
    const read = Object.hasOwn(readers, word) ? readers[word] : undefined
    if (read === undefined) throw refuse(line)
    const stage = stages.at(-1)
    if (stage === undefined) throw refuse(line)
    stage.steps.push(read(rest, line))
  }
  return stages
}
