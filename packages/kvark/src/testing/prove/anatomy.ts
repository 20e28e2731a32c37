/**
 * What a row must know of an engine to damage its files: the files' parts, and what each of them is good for. All else that the rows
 * do is the same for every engine. One file for each engine: `log/anatomy.ts`, `btree/anatomy.ts`.
 */

import type { SeededRandom } from '../../bytes/random.ts'
import type { Content, DamagedForm } from '../damage.ts'
import type { Edits, Mutation } from './edits.ts'
import type { Forger, StoredFiles } from './forger.ts'
import type { SmallStore } from './small-store.ts'

/** Bytes of a file, from … to. */
export interface Part {
  readonly from: number
  readonly to: number
}

/** What is tried with garbage and back and forth; its name, and how often compared with others. */
export type Input = readonly [name: string, weight: number, trial: () => void]

export interface Anatomy {
  /** Puts this besides what every small store has, so that there is every kind of block. */
  readonly filling: readonly (readonly [key: string, value: string])[]
  /** Bytes of what is written as one, where that is more than a sector: a disk may lose it as a whole. */
  unitBytes(form: DamagedForm): number
  /** Where something begins or ends in a file, besides its sectors. */
  edges(name: string, bytes: Buffer, store: SmallStore): Iterable<number>
  /** What the damage that nobody noticed is of, where nothing of the store is lost with it; `undefined`: it should have been noticed. */
  harmless(store: SmallStore, damaged: Content): string | undefined
  /** Makes the checksum right that covers byte `at` of a file, in its changed `bytes`; nothing that takes a key. */
  repair(files: StoredFiles, name: string, bytes: Buffer, at: number): void
  /** What a file has of keys and values: as it is stored, compressed and encrypted. */
  payloads(name: string, bytes: Buffer, form: DamagedForm): readonly Part[]
  forger(files: StoredFiles, random: (length: number) => Uint8Array): Forger
  /** What can be done to the files that only this engine has, with everything made right around it. */
  mutations(files: StoredFiles, edits: Edits, random: SeededRandom): readonly (() => Mutation)[]
  /** What turns bytes into something, or back, in this engine only. */
  inputs(random: SeededRandom): readonly Input[]
}
