import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { mutants } from '../../tools/mutants/mutants.ts'
import { plant } from '../../tools/mutants/plant.ts'

test.each(mutants)('the place for the planted bug is still there: $name', async ({ edits }) => {
  const texts = new Map<string, string>()
  for (const edit of edits) {
    const before = texts.get(edit.file) ?? (await readFile(edit.file, 'utf8'))
    texts.set(edit.file, plant(before, edit))
  }
  for (const [file, text] of texts) expect(text).not.toBe(await readFile(file, 'utf8'))
})
