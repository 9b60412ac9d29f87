import { describe, expect, test } from 'vitest'
import { consoleBlocks, shows, stepsOf } from './transcript.ts'

describe('reading a transcript', () => {
  test('finds the console blocks of a page and leaves the others', () => {
    const page = 'a\n\n```console\n$ one\n1\n```\n\n```sh\n$ no\n```\n\n```console\n$ two\n```\n'
    expect(consoleBlocks(page)).toEqual(['$ one\n1\n', '$ two\n'])
  })

  test('ends a command where bash would run it, not at the end of the line', () => {
    const block = "$ echo a \\\n    b\na b\n$ echo 'x\n$ y'\nx\n$ y\nlast\n"
    expect(stepsOf(block)).toEqual([
      { command: 'echo a \\\n    b', output: ['a b'] },
      { command: "echo 'x\n$ y'", output: ['x'] },
      { command: 'y', output: ['last'] },
    ])
  })

  test('refuses a command that never ends', () => {
    expect(() => stepsOf("$ echo 'a\n")).toThrow('never ends')
  })
})

describe('comparing what is printed with what a page shows', () => {
  test.each([
    ['the same words', 'seq 1', 'seq 1\n', true],
    ['another word', 'seq 1', 'seq 2', false],
    ['a line too many', 'seq 1', 'seq 1\nwarning', false],
    ['a line too few', 'seq 1\nend', 'seq 1', false],
    ['nothing at all', 'seq 1', '', false],
    ['an id for an id', 'id DwC09Yxt9Ad1mKCYocuDPA.', 'id -_HtNo8bXcEU_uJQghglJw.', true],
    ['something shorter for an id', 'id DwC09Yxt9Ad1mKCYocuDPA', 'id DwC09Yxt9Ad1mKCYocuDP', false],
    ['a time for a time', 'at 2026-11-21T01:16:23.228Z', 'at 2027-01-02T03:04:05.678Z', true],
    ['no time for a time', 'at 2026-11-21T01:16:23.228Z', 'at yesterday', false],
    ['a token for a token', '"eyJ0eXAi…"', '"eyJhbGci.eyJpc3Mi.c2ln"', true],
    ['two parts for a token', '"eyJ0eXAi…"', '"eyJhbGci.eyJpc3Mi"', false],
    ['any lines for a line of …', 'a\n…\nb', 'a\n1\n2\nb', true],
    ['no lines for a line of …', 'a\n…\nb', 'a\nb', true],
    ['other lines after a line of …', 'a\n…\nb', 'a\n1\nc', false],
    ['a dot only for a dot', 'a.b', 'axb', false],
  ])('%s', (_what, shown, printed, isShown) => {
    expect(shows(shown.split('\n'), printed)).toBe(isShown)
  })
})
