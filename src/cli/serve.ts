import { Command } from 'commander'
import { serve } from '../serve.ts'

const act = async (): Promise<void> => {
  process.exitCode = await serve()
}

export const serveCommand = (): Command =>
  new Command('serve').description('run the service until Ctrl-C or SIGTERM').action(act)
