import { Command } from 'commander'
import { exitCodes } from '../failure.ts'
import { checkDeployment } from './doctor/check-deployment.ts'
import type { Finding } from './doctor/finding.ts'
import { jsonOption, type OutputOptions, printResult } from './output.ts'

const linesOf = ({ state, name, message, fix }: Finding): string[] => [
  `${state.padEnd('skip'.length)}  ${name.padEnd('postgres-clock'.length)}  ${message}`,
  ...(fix === undefined ? [] : [`      fix: ${fix}`]),
]

const summaryOf = (failures: number, warnings: number): string => {
  if (failures > 0) return `${failures} to fix`
  if (warnings === 0) return 'nothing is wrong'
  return `nothing to fix, ${warnings} ${warnings === 1 ? 'warning' : 'warnings'}`
}

const act = async (options: OutputOptions): Promise<void> => {
  const checks = await checkDeployment()
  const count = (wanted: Finding['state']) => checks.filter(({ state }) => state === wanted).length
  const failures = count('fail')
  const summary = summaryOf(failures, count('warn'))
  printResult(options, { ok: failures === 0, checks }, [...checks.flatMap(linesOf), summary])
  if (failures > 0) process.exitCode = exitCodes.failed
}

export const doctorCommand = (): Command =>
  new Command('doctor')
    .description('check this deployment and say what to fix; changes nothing')
    .option(...jsonOption)
    .action(act)
