import type { Edit } from './mutants.ts'

/** `text` with the bug in it. Throws when `find` does not occur exactly once. */
export const plant = (text: string, { file, find, replace }: Edit): string => {
  const places = text.split(find).length - 1
  if (places !== 1) throw new Error(`${file}: ${JSON.stringify(find)} stands there ${places} times`)
  // A function, because a replacement string would interpret dollar signs.
  return text.replace(find, () => replace)
}
