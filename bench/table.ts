import type { Machine } from './machine.ts'
import type { Detail, Hold, Row } from './row.ts'

const decimalsFor = (value: number): number => {
  const size = Math.abs(value)
  if (size >= 100 || Number.isInteger(value)) return 0
  if (size >= 10) return 1
  // A known token is verified in microseconds.
  return size >= 0.1 ? 2 : 4
}

/** Enough digits to compare, but not more than the noise allows. */
const number = (value: number | undefined, unit = ''): string => {
  if (value === undefined) return ''
  const decimals = decimalsFor(value)
  const text = value.toLocaleString('en-US', {
    minimumFractionDigits: decimals,
    maximumFractionDigits: decimals,
  })
  const space = unit === '' || unit.startsWith('/') || unit === '%' ? '' : ' '
  return `${text}${space}${unit}`
}

const holdText = (hold: Hold | undefined): string => {
  if (!hold) return ''
  return 'atLeast' in hold ? `≥ ${number(hold.atLeast)}` : `≤ ${number(hold.atMost)}`
}

const okText = (isHeld: boolean | undefined): string => {
  if (isHeld === undefined) return ''
  return isHeld ? 'yes' : 'NO'
}

const share = (value: number | undefined): string =>
  value === undefined ? '' : `${Math.round(value * 100)}%`

/** CPU time of the service for one request. Other load on the machine hardly changes it. */
const microsEach = ({ serverCpuShare, perSecond }: Detail): string =>
  serverCpuShare ? number((serverCpuShare * 1e6) / perSecond) : ''

const render = (cells: readonly (readonly string[])[]): string => {
  const [head = [], ...body] = cells
  const widths = head.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)))
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`
  const rule = `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`
  return [line(head), rule, ...body.map(line)].join('\n')
}

const rowCells = (row: Row): string[] => [
  row.what,
  number(row.ours, row.unit),
  number(row.limit, row.unit),
  row.ratio === undefined ? '' : row.ratio.toFixed(2),
  holdText(row.hold),
  okText(row.isHeld),
]

const detailCells = (detail: Detail): string[] => [
  detail.what,
  number(detail.perSecond),
  number(detail.p50Ms),
  number(detail.p95Ms),
  number(detail.p99Ms),
  share(detail.serverCpuShare),
  microsEach(detail),
  share(detail.postgresCpuShare),
  share(detail.cpuShare),
  detail.peakMb ? number(detail.peakMb, 'MB') : '',
]

/** The output of the bench in Markdown. `docs/reference/performance.md` contains these lines unchanged. */
export const tables = (
  machine: Machine,
  rows: readonly Row[],
  details: readonly Detail[],
): string =>
  [
    `${machine.date}, ${machine.cores} cores (${machine.processor}), ${machine.memoryGb} GB, Node ${machine.node.slice(1)}`,
    machine.placement,
    '',
    render([['what', 'ours', 'limit', 'ratio', 'hold', 'ok'], ...rows.map(rowCells)]),
    '',
    render([
      [
        'round',
        'a second',
        'p50 ms',
        'p95 ms',
        'p99 ms',
        'CPU service',
        'µs each',
        'Postgres',
        'load',
        'memory',
      ],
      ...details.map(detailCells),
    ]),
    '',
  ].join('\n')
