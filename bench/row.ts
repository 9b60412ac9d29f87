import { median, medianSample, type Sample } from './sample.ts'

export type Hold = { readonly atLeast: number } | { readonly atMost: number }

/** One row of the table. Numbers are in the unit of `unit`. */
export type Row = {
  readonly what: string
  readonly unit: string
  readonly ours: number
  /** The result of the limit in the same run. */
  readonly limit: number | undefined
  /** The value that `hold` checks: the ratio of ours to the limit, or ours itself without a limit. */
  readonly ratio: number | undefined
  readonly hold: Hold | undefined
  readonly isHeld: boolean | undefined
}

/** One side of a comparison with all figures, for the second table and the JSON. */
export type Detail = Sample & {
  readonly what: string
  /** The CPU and memory (MB of 10^6 bytes) of the service, and the CPU of Postgres. Undefined where not measured. */
  readonly serverCpuShare?: number
  readonly postgresCpuShare?: number
  readonly peakMb?: number
}

export type Findings = { readonly rows: readonly Row[]; readonly details: readonly Detail[] }

const isHeld = (value: number, hold: Hold | undefined): boolean | undefined => {
  if (!hold) return undefined
  return 'atLeast' in hold ? value >= hold.atLeast : value <= hold.atMost
}

type Figure = { readonly what: string; readonly unit: string; readonly hold?: Hold | undefined }

/** A figure that is checked against a number, or only shown. */
export const figure = ({ what, unit, hold }: Figure, ours: number): Row => ({
  what,
  unit,
  ours,
  limit: undefined,
  ratio: undefined,
  hold,
  isHeld: isHeld(ours, hold),
})

/**
 * Compares ours with the limit of the same rounds. The ratio is the median of the rounds' ratios, and so not exactly that of the two
 * medians shown: both sides of a round ran within seconds of each other, while the machine changes from minute to minute.
 */
export const comparison = (
  { what, unit, hold }: Figure,
  pick: (sample: Sample) => number,
  sides: { readonly ours: readonly Sample[]; readonly limit: readonly Sample[] },
): Row => {
  const ratios = sides.ours.map((sample, round) => {
    const limit = sides.limit[round]
    return limit ? pick(sample) / pick(limit) : Number.NaN
  })
  const ratio = median(ratios)
  return {
    what,
    unit,
    ours: pick(medianSample(sides.ours)),
    limit: pick(medianSample(sides.limit)),
    ratio,
    hold,
    isHeld: isHeld(ratio, hold),
  }
}

export const perSecond = ({ perSecond: rate }: Sample): number => rate
export const p99Ms = ({ p99Ms: time }: Sample): number => time
