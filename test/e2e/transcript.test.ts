import { describe, expect, test } from 'vitest'
import { shows } from './transcript.ts'

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
