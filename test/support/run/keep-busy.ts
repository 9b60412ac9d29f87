import { type Cardea, testPassword } from '../service/cardea.ts'

/** Takes every place at the hasher of the first instance, and each that becomes free, until `isOver`. */
export const keepBusy = async (cardea: Cardea, isOver: () => boolean): Promise<void> => {
  const hasher = cardea.instances[0]?.core.hasher
  const places = cardea.config.hashConcurrency + cardea.config.hashQueue
  const onePlace = async () => {
    while (!isOver()) await hasher?.verify(testPassword, undefined)
  }
  await Promise.all(Array.from({ length: places }, onePlace))
}
