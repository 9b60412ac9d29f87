/** An option of every command but `serve`, whose output is its log. */
export const jsonOption = [
  '--json',
  'print one JSON document, and failures as one on stderr',
] as const

export type OutputOptions = { readonly json?: true }

export const print = (text: string): void => {
  process.stdout.write(text)
}

/**
 * One document for scripts, or lines for people. Never give it a secret: terminals and scripts keep what they see. The one exception is
 * what has no other way out: the secret of a new service client, and the keys of sealed sessions.
 */
export const printResult = (
  { json }: OutputOptions,
  document: unknown,
  lines: readonly string[],
): void => print(json ? `${JSON.stringify(document)}\n` : lines.map((line) => `${line}\n`).join(''))

/** `name  value` lines with the values below each other. */
export const factLines = (facts: Readonly<Record<string, string | number>>): string[] => {
  const width = Math.max(...Object.keys(facts).map((name) => name.length))
  return Object.entries(facts).map(([name, value]) => `${name.padEnd(width)}  ${value}`.trimEnd())
}
