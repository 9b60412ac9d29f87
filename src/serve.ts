import { composeCore } from './compose/core.ts'
import { type Config, loadConfig, sizeThreadPool } from './config/index.ts'
import { createFirstOperator } from './first-operator.ts'
import { type Instance, startInstance } from './instance.ts'
import { systemClock } from './lib/clock.ts'
import { systemRandom } from './lib/random.ts'
import { patientConfig, prepareSchema } from './schema.ts'
import { openStores, type Stores } from './stores.ts'
import { welcome } from './welcome.ts'

const machine = { clock: systemClock, random: systemRandom }

/** An embedded Postgres that ended by itself. */
class StoreLost extends Error {
  override readonly name = 'StoreLost'
}

const print = (text: string): void => {
  process.stdout.write(text)
}

/** Over connections of its own, which are more patient than those of requests: the password is shown once, or lost. */
const firstOperator = async (config: Config, stores: Stores) => {
  const core = await composeCore(patientConfig(config), stores, {
    ...machine,
    report: () => undefined,
  })
  try {
    return await createFirstOperator(core)
  } finally {
    await core.close()
  }
}

const start = async (config: Config, stores: Stores): Promise<Instance> => {
  await prepareSchema(config, stores, (text) => process.stderr.write(`${text}\n`))
  const greet = async (address: string) =>
    print(welcome(address, await firstOperator(config, stores)))
  // In production an operator is made on the command line: there a password on standard output ends in a log.
  return await startInstance(config, stores, {
    machine,
    ...(!config.production && { onListening: greet }),
  })
}

/**
 * Resolves at the first signal; one that comes during the start is heeded when the start is over. Nobody listens for a second one,
 * whichever it is, so that it ends the process at once, for whoever cannot wait.
 */
const askedToStop = (): Promise<void> =>
  new Promise((resolve) => {
    const signals = ['SIGINT', 'SIGTERM'] as const
    const hear = () => {
      for (const signal of signals) process.off(signal, hear)
      resolve()
    }
    for (const signal of signals) process.on(signal, hear)
  })

/**
 * Runs the service until it is asked to stop, then finishes what is under way and closes everything.
 * @throws whatever keeps it from starting; `explainFailure` puts it into words
 */
export const serve = async (): Promise<void> => {
  const stop = askedToStop()
  const config = loadConfig()
  sizeThreadPool(config)
  const stores = await openStores(config, { joinsRunning: false })
  try {
    const service = await start(config, stores)
    const lost = stores.lost.then(() => {
      throw new StoreLost('the embedded Postgres has ended; its log is postgres.log in DATA_DIR')
    })
    try {
      await Promise.race([stop, lost])
    } finally {
      await service.stop()
    }
  } finally {
    await stores.close()
  }
}
