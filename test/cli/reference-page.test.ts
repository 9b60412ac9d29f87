import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { describe, expect, test } from 'vitest'
import { commandTree } from '../../src/cli/command-line.ts'
import { exitCodes } from '../../src/explain-failure.ts'

const page = readFileSync('docs/reference/cli.md', 'utf8')

const leaves = (command: Command, path: readonly string[]): [string, Command][] =>
  command.commands.length === 0
    ? [[path.join(' '), command]]
    : command.commands.flatMap((child) => leaves(child, [...path, child.name()]))

const tree = commandTree()
const commands = [['cardea', tree] as const, ...leaves(tree, ['cardea'])]

/** What stands under a heading, up to the next one. */
const section = (name: string): string =>
  page.split(`\n## \`${name}\`\n`)[1]?.split('\n## ')[0] ?? ''

const rowsIn = (text: string): string[][] =>
  text
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => line.slice(2, -2).split(' | '))

describe('the command line page', () => {
  test('has a section for every command, in the order of the help, and no other', () => {
    const headings = [...page.matchAll(/^## `(.*)`$/gm)].map(([, name]) => name)
    expect(headings).toEqual(commands.map(([name]) => name))
  })

  test.each(commands)(
    'says of %s what its help says: what it does and every option',
    (name, command) => {
      const text = section(name)
      expect(text.trim().split('\n')[0]).toBe(command.description())
      const options = command.options
        .filter((option) => !option.hidden)
        .map((option) => [`\`${option.flags}\``, option.description])
      const help = name === 'cardea' ? [['`--help`', 'show how to use it']] : []
      expect(rowsIn(text)).toEqual([...options, ...help])
    },
  )

  test('lists the exit codes', () => {
    const listed = [...page.matchAll(/^\| (\d+) \| (\w+):/gm)].map(([, code, name]) => [
      name,
      Number(code),
    ])
    expect(Object.fromEntries(listed)).toEqual(exitCodes)
  })
})
