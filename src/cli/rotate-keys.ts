import { Command } from 'commander'
import type { Core } from '../core.ts'
import { CommandError, jsonOption, type OutputOptions, printResult } from './output.ts'
import { commandConfig, commandLineActor, withCore } from './with-core.ts'

const rotate = async ({ keys }: Core) => {
  if ((await keys.list()).length === 0) {
    throw new CommandError(
      'no_signing_keys',
      'there are no signing keys yet',
      'the first start of the service makes them',
    )
  }
  return keys.rotate(commandLineActor)
}

type KeyRotation = Awaited<ReturnType<typeof rotate>>

const documentOf = (rotation: KeyRotation) => {
  switch (rotation.kind) {
    case 'rotated':
      return { result: 'rotated', active: rotation.active, next: rotation.next }
    case 'planned':
      return {
        result: 'planned',
        next: rotation.next,
        algorithm: rotation.algorithm,
        signs_from: new Date(rotation.atMs).toISOString(),
      }
    case 'done_by_another':
      return { result: 'done_by_another' }
  }
}

const linesOf = (rotation: KeyRotation): string[] => {
  switch (rotation.kind) {
    case 'rotated':
      return [`${rotation.active} signs now`, `${rotation.next} is published and will be next`]
    case 'planned':
      return [
        `${rotation.next} (${rotation.algorithm}) signs from ${new Date(rotation.atMs).toISOString()} on`,
        'verifiers fetch it until then; the running service completes the rotation',
      ]
    case 'done_by_another':
      return ['another process changed the keys at the same moment; nothing was done here']
  }
}

export const rotateKeysCommand = (): Command =>
  new Command('rotate')
    .description(
      'switch to the next signing key: now if it has been published for an hour, otherwise after that hour',
    )
    .option(...jsonOption)
    .action(async (options: OutputOptions) => {
      const config = await commandConfig()
      const rotation = await withCore(config, rotate)
      printResult(options, documentOf(rotation), linesOf(rotation))
    })
