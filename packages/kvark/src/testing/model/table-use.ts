/** What a run of `tables-at-once.ts` and its transactions use: tables, keys, ranges. */

import type { SeededRandom } from '../../bytes/random.ts'
import type { RangeOptions } from '../../store/call-types.ts'
import type { Watch } from '../../store/change-types.ts'
import type {
  OrderedStore,
  OrderedTable,
  OrderedTransaction,
  OrderedTransactionTable,
} from '../../store/types.ts'
import type { Told } from './told.ts'

export type Store = OrderedStore<string, string>
export type Table = OrderedTable<string, string>
export type Tx = OrderedTransaction<string, string>
export type TxTable = OrderedTransactionTable<string, string>

export const KEYS: readonly string[] = Array.from(
  { length: 60 },
  (_, i) => `k${String(i).padStart(2, '0')}`,
)

/** A table as long as it is there: through renames, up to its drop. */
export interface Use {
  readonly name: string
  readonly table: Table
  readonly told: Told
  readonly watch: Watch<string, string>
  readonly ended: Promise<void>
  /** Versions up to which all had been told. */
  readonly known: number[]
}

export interface TablesWorld {
  readonly db: Store
  readonly random: SeededRandom
  now(): number
  advance(ms: number): void
}

export function rangeOf(random: SeededRandom): RangeOptions<string> {
  const [gte, lt] = [random.pick(KEYS), random.pick(KEYS)].sort() as [string, string]
  return random.chance(0.2) ? { gte } : random.chance(0.2) ? { lt } : { gte, lt }
}

export function tighter(
  range: RangeOptions<string>,
  more: RangeOptions<string>,
): RangeOptions<string> {
  const { gte } = range
  const isLess = more.gte !== undefined && gte !== undefined && more.gte < gte
  return { ...range, ...more, ...(isLess && { gte }) }
}

export function isIn(key: string, { gte, lt, lte }: RangeOptions<string>): boolean {
  return (
    (gte === undefined || key >= gte) &&
    (lt === undefined || key < lt) &&
    (lte === undefined || key <= lte)
  )
}

export function short(value: string | undefined): string {
  return value === undefined ? 'nothing' : value.slice(0, 8).trim()
}
