import type { Edit } from './mutants.ts'

/** `text` with the bug in it. Throws when the place for it is not there exactly once. */
export const plant = (text: string, { file, find, replace }: Edit): string => {
  const places = text.split(find).length - 1
  if (places !== 1) throw new Error(`${file}: ${JSON.stringify(find)} stands there ${places} times`)
  // As a function, for a text may have dollar logs in it.
  return text.replace(find, () => replace)
}
