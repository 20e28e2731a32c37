/**
 * Where one case of the contract suite happens: files of its own, on the machine or in memory, and the stores opened
 * there. Leaving the place closes what is still open and removes the files.
 */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { Engine, EngineContext, EngineModule, Limits, Supports } from '../../engine/engine.ts'
import type { Environment } from '../../environment/environment.ts'
import { nodeEnvironment } from '../../environment/node.ts'
import type { Routine } from '../../environment/routine.ts'
import type { ChecksumName } from '../../storage/block-form.ts'
import type { CipherName } from '../../storage/cipher.ts'
import type { CompressionName } from '../../storage/compression.ts'
import { openWith } from '../../store/opening.ts'
import type { OrderedStore } from '../../store/types.ts'
import { memoryFiles } from '../../vfs/memory.ts'

export type EnvironmentName = 'node' | 'memory'

/** A form of store, with the name that its tests have. */
export interface SubjectForm {
  readonly name: string
  readonly checksum?: ChecksumName
  readonly compression?: CompressionName
  readonly encryption?: { readonly key: Uint8Array; readonly cipher: CipherName }
}

/** An engine under test. */
export interface Subject {
  readonly engine: EngineModule
  /** Engine options that make much happen in little data: small files, low thresholds. */
  readonly options?: Readonly<Record<string, unknown>>
  readonly environments: readonly EnvironmentName[]
  /** How the store has its data in files; plain where absent. */
  readonly form?: SubjectForm
}

/** One promise of the contract and how it is checked. */
export interface Case {
  readonly name: string
  /** What the engine must support, or have, for the promise to mean something. */
  readonly needs?: readonly (keyof Supports | 'salvage')[]
  /** It has nothing to do with how bytes lie in files, and takes long. */
  readonly plainOnly?: boolean
  /** It has nothing to do with whose files they are, and takes long. */
  readonly memoryOnly?: boolean
  run(place: Place, t: TestContext): Promise<void> | void
}

/** A part of the contract. */
export interface Chapter {
  readonly name: string
  readonly cases: readonly Case[]
}

/** Options of `open` as a test hands them in, possibly wrong ones. */
export type Options = Readonly<Record<string, unknown>>

/** The widest store; a case uses of it what its `needs` allow. */
export type AnyStore<K = string, V = string> = OrderedStore<K, V>
export type BytesStore = AnyStore<Uint8Array, Uint8Array>

/** The least that `open` takes. */
const CACHE_BYTES = 1024 * 1024

export class Place {
  engine: EngineModule
  readonly environment: Environment
  /** Where the store of this place goes; nothing is there yet. */
  readonly path: string
  readonly engineOptions: Options
  readonly form: SubjectForm
  readonly #options: Options
  readonly #folder: string | undefined
  readonly #stores: AnyStore<never, unknown>[] = []

  constructor(subject: Subject, name: EnvironmentName) {
    this.engine = subject.engine
    this.#folder = name === 'node' ? mkdtempSync(join(tmpdir(), 'kvark-contract-')) : undefined
    this.path = join(this.#folder ?? '/memory', 'store')
    this.environment = name === 'node' ? nodeEnvironment() : nodeEnvironment(memoryFiles())
    this.engineOptions = subject.options ?? {}
    this.form = subject.form ?? { name: 'plain' }
    const { name: _, ...form } = this.form
    this.#options = {
      ...subject.options,
      ...form,
      cacheBytes: CACHE_BYTES,
      environment: this.environment,
    }
  }

  /** Where a copy of the store may go. */
  get copy(): string {
    return `${this.path}-copy`
  }

  /**
   * From now on the engine says that it takes no more than this: for limits that nobody can try, because they are too large. What the
   * store makes of a limit is tried with the smaller one.
   */
  stateLimits(stated: Partial<Limits>): void {
    const { engine } = this
    const limits = { ...engine.limits, ...stated }
    const open = function* open(context: EngineContext): Routine<Engine> {
      return Object.assign(yield* engine.open(context), { limits })
    }
    this.engine = { ...engine, limits, open }
  }

  /** Opens the store of this place, or another one beside it. */
  async open<K = string, V = string>(
    options: Options = {},
    path: string = this.path,
  ): Promise<AnyStore<K, V>> {
    return this.#keep<K, V>(await this.#opening(options, path).async())
  }

  openSync<K = string, V = string>(
    options: Options = {},
    path: string = this.path,
  ): AnyStore<K, V> {
    return this.#keep<K, V>(this.#opening(options, path).sync())
  }

  /** Bytes in, bytes out. */
  async openBytes(options: Options = {}, path: string = this.path): Promise<BytesStore> {
    const codecs = { keys: 'bytes', values: 'bytes' }
    return await this.open<Uint8Array, Uint8Array>({ ...codecs, ...options }, path)
  }

  async leave(): Promise<void> {
    for (const store of this.#stores) await store.close().catch(() => {})
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true })
  }

  #opening(options: Options, path: string): { sync(): unknown; async(): Promise<unknown> } {
    const { engine } = this
    return openWith({ [engine.name]: engine }, path, {
      ...this.#options,
      engine: engine.name,
      ...options,
    })
  }

  #keep<K, V>(opened: unknown): AnyStore<K, V> {
    const store = opened as AnyStore<K, V>
    this.#stores.push(store as unknown as AnyStore<never, unknown>)
    return store
  }
}
