import { Command } from 'commander'
import { serve } from '../serve.ts'

export const serveCommand = (): Command =>
  new Command('serve').description('run the service until Ctrl-C or SIGTERM').action(() => serve())
