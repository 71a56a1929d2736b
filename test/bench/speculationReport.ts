/** The tables of the speculation benchmark, from its runs. */

import type { DeviceInfo, LLM } from '../../src/index.ts'
import { median, printTable, type Ratio, ratio, writeFigure } from './figures.ts'
import { FIXED, MOST, OPENINGS, READY, ROUNDS, SETTINGS, STREAMS, TEMPERATURE } from './speculationSettings.ts'

export interface Run {
  readonly setting: string
  readonly streams: number
  readonly opening: number
  /** within this opening; round 0 is the warm-up */
  readonly round: number
  readonly tokensPerSecond: number
  readonly rowsPerStep: number
  readonly tokensPerStep: number
  /** accepted over verified drafts; NaN without drafts */
  readonly acceptance: number
  /** tokens/ms of the decode-only steps over that of those among them without drafts; NaN where the latter are few */
  readonly toBare: number
  /** medians of the decode-only steps */
  readonly ms: Readonly<Record<'schedule' | 'encode' | 'wait' | 'gpu' | 'update', number>>
}

/** GPU milliseconds of the decode-only steps of one setting and number of streams. */
export interface DeviceTimes {
  /** target model and sampling, by number of draft rows */
  readonly verify: Map<number, number[]>
  /** drafter */
  readonly draft: number[]
}

/** Prints the tables and writes them, with every run, to a file. */
export function report(
  { device, options }: Pick<LLM, 'device' | 'options'>,
  runs: readonly Run[],
  times: ReadonlyMap<string, DeviceTimes>,
): void {
  console.log(`\nSpeculation, fairy-tales on ${deviceName(device)}`)
  console.log(
    `B = ${options.maxNumBatchedTokens}, temperature ${TEMPERATURE}, top-k 50, top-p 0.95, ${OPENINGS * ROUNDS} rounds`,
  )
  const table = STREAMS.flatMap((streams) => SETTINGS.map(({ name }) => summary(runs, streams, name)))
  printTable(
    [
      'setting',
      'streams',
      'tokens/s',
      'to off',
      'to 0 drafts',
      `to ${READY.name}`,
      'to own steps without',
      'first round',
      'rows/step',
      'tokens/step',
      'accepted',
    ],
    table.map((each) => [
      each.setting,
      `${each.streams}`,
      each.tokensPerSecond.toFixed(1),
      shown(each.toOff),
      shown(each.toNone),
      shown(each.toReady),
      shown(each.toBare),
      each.firstToNone.toFixed(2),
      each.rowsPerStep.toFixed(1),
      each.tokensPerStep.toFixed(2),
      Number.isNaN(each.acceptance) ? '-' : `${(100 * each.acceptance).toFixed(0)} %`,
    ]),
  )
  const best = STREAMS.map((streams) => bestFixed(runs, streams))
  printTable(
    ['adaptive to the best fixed number', 'streams', 'ratio'],
    best.map(({ streams, name, toBest }) => [name, `${streams}`, shown(toBest)]),
  )
  const verify = verifyCost(times)
  console.log(`time of 1 + k rows to that of 1 row, k = 1…${MOST}: ${verify.map((each) => each.toFixed(2)).join(', ')}`)
  const drafting = SETTINGS.map(({ name }) => ({ name, ms: STREAMS.map((streams) => draftTime(times, name, streams)) }))
  printTable(
    ['drafter, ms per step', ...STREAMS.map((streams) => `${streams} streams`)],
    drafting
      .filter(({ ms }) => ms.some((each) => each > 0))
      .map(({ name, ms }) => [name, ...ms.map((each) => each.toFixed(2))]),
  )
  writeFigure('speculation.json', `${JSON.stringify({ device, table, best, verify, drafting, runs }, null, 1)}\n`)
}

function runsOf(runs: readonly Run[], streams: number, setting: string): readonly Run[] {
  return runs.filter((each) => each.streams === streams && each.setting === setting)
}

/** Ratio of speeds between runs of the same round, averaged per opening where there are several. */
function speedRatio(these: readonly Run[], others: readonly Run[]): Ratio {
  const pairs = these
    .filter(({ round }) => round > 0)
    .map(({ opening, round, tokensPerSecond }) => {
      const other = others.find((each) => each.opening === opening && each.round === round)
      return { opening, ratio: tokensPerSecond / (other?.tokensPerSecond ?? Number.NaN) }
    })
  if (OPENINGS === 1) return ratio(pairs.map((pair) => pair.ratio))
  const openings = Array.from({ length: OPENINGS }, (_, index) => pairs.filter(({ opening }) => opening === index + 1))
  return ratio(openings.map((some) => ratio(some.map((pair) => pair.ratio)).mean))
}

function summary(runs: readonly Run[], streams: number, setting: string) {
  const these = runsOf(runs, streams, setting)
  const none = runsOf(runs, streams, '0 drafts')
  const counted = these.filter(({ round }) => round > 0)
  return {
    setting,
    streams,
    tokensPerSecond: median(counted.map((each) => each.tokensPerSecond)),
    toNone: speedRatio(these, none),
    toOff: speedRatio(these, runsOf(runs, streams, 'off')),
    toReady: speedRatio(these, runsOf(runs, streams, READY.name)),
    toBare: ratio(counted.map((each) => each.toBare)),
    firstToNone: (these[0]?.tokensPerSecond ?? Number.NaN) / (none[0]?.tokensPerSecond ?? Number.NaN),
    rowsPerStep: median(counted.map((each) => each.rowsPerStep)),
    tokensPerStep: median(counted.map((each) => each.tokensPerStep)),
    acceptance: median(counted.map((each) => each.acceptance)),
  }
}

/** Compares the adaptive setting with the fixed number of drafts that has the highest median speed. */
function bestFixed(runs: readonly Run[], streams: number) {
  const speed = (name: string): number => summary(runs, streams, name).tokensPerSecond
  const fixed = FIXED.filter((each) => SETTINGS.includes(each))
  const { name } = fixed.reduce((best, each) => (speed(each.name) > speed(best.name) ? each : best), FIXED[0] ?? READY)
  return { streams, name, toBest: speedRatio(runsOf(runs, streams, 'adaptive'), runsOf(runs, streams, name)) }
}

/** [k - 1]: GPU time of a step of 1 + k rows over that of one row, for a single stream. NaN without timestamps. */
function verifyCost(times: ReadonlyMap<string, DeviceTimes>): number[] {
  const all = (draftRows: number): number =>
    median(SETTINGS.flatMap(({ name }) => times.get(`${name}, 1`)?.verify.get(draftRows) ?? []))
  return Array.from({ length: MOST }, (_, k) => all(k + 1) / all(0))
}

function draftTime(times: ReadonlyMap<string, DeviceTimes>, name: string, streams: number): number {
  return median(times.get(`${name}, ${streams}`)?.draft ?? [])
}

function shown({ mean, low, high }: Ratio): string {
  if (Number.isNaN(mean)) return '-'
  return `${mean.toFixed(3)} (${low.toFixed(3)}…${high.toFixed(3)})`
}

function deviceName(device: DeviceInfo): string {
  if (device.backend === 'wasm') return `the processor, ${device.threads} threads`
  return device.adapter.description || device.adapter.architecture
}
