import { Command } from 'commander'
import { loadConfig } from '../config/index.ts'
import { prepareSchema } from '../schema.ts'
import { jsonOption, type OutputOptions, printResult } from './output.ts'
import { openStoresBeside, tellProgress } from './with-core.ts'

const act = async (options: OutputOptions): Promise<void> => {
  const config = loadConfig()
  const stores = await openStoresBeside(config)
  try {
    const migrations = await prepareSchema(config, stores, tellProgress)
    const ran = migrations.map((name) => `ran ${name}`)
    printResult(options, { migrations }, ran.length === 0 ? ['nothing to do'] : ran)
  } finally {
    await stores.close()
  }
}

export const migrateCommand = (): Command =>
  new Command('migrate')
    .description('bring the database up to this version, with the role of MIGRATE_DATABASE_URL')
    .option(...jsonOption)
    .action(act)
