/** An engine opened without a store around it, for what the API does not reach yet, and the calls a store makes on it. */

import {
  BLOCKED,
  DONE,
  type Durability,
  type Engine,
  type EngineSnapshot,
  MISSING,
  SPREAD,
  type Status,
} from '../../engine/engine.ts'
import { Found } from '../../engine/found.ts'
import { type DELETE, PUT, UNCONDITIONAL, WriteBatch } from '../../engine/write-batch.ts'
import type { Environment } from '../../environment/environment.ts'
import { runSync } from '../../environment/routine.ts'
import { storeForm } from '../../storage/block-form.ts'
import type { Place } from './place.ts'

/** The root table's id stands before every key. */
const ROOT = '\0'

export interface Operation {
  readonly kind: typeof PUT | typeof DELETE
  readonly key: string
  readonly value?: string
  readonly expiry?: number
  readonly expected?: number
}

export class RawEngine {
  readonly engine: Engine

  constructor(engine: Engine) {
    this.engine = engine
  }

  /** The value as text, now or at a snapshot. */
  get(key: string, at?: EngineSnapshot): string | undefined {
    const found = new Found()
    const internal = Buffer.from(ROOT + key, 'latin1')
    const status = settle(found, () => this.engine.find(internal, internal.length, at, found))
    return status === MISSING ? undefined : valueText(found)
  }

  /** Everything a cursor gives, now or at a snapshot. */
  walk(at?: EngineSnapshot): Record<string, string> {
    const from = Buffer.from(ROOT, 'latin1')
    const to = Buffer.from([1])
    const request = { at, from, to, reverse: false, token: undefined }
    const cursor = this.engine.cursor(request)
    const result: Record<string, string> = {}
    const found = new Found()
    try {
      while (settle(found, () => cursor.next(found)) !== MISSING) {
        const key = found.keyBytes.toString('latin1', found.keyStart + ROOT.length, found.keyEnd)
        result[key] = valueText(found)
      }
      return result
    } finally {
      cursor.close()
    }
  }

  /** Writes a batch; `DONE` or `REFUSED`. */
  write(operations: readonly Operation[], durability: Durability = 'os'): Status {
    const batch = new WriteBatch()
    for (const { kind, key, value = '', expiry = 0, expected = UNCONDITIONAL } of operations) {
      const i = batch.add(kind, expected, expiry)
      const internal = Buffer.from(ROOT + key, 'latin1')
      internal.copy(batch.bytes, batch.reserve(internal.length))
      batch.keyWritten(i, internal.length)
      batch.setValue(i, Buffer.from(value, 'latin1'))
    }
    let status = this.engine.write(batch)
    while (status === BLOCKED) {
      runSync(this.engine.warm(batch))
      status = this.engine.write(batch)
    }
    if (status === DONE) this.engine.commit(durability).sync()
    return status
  }

  put(key: string, value: string, expiry: number): void {
    this.write([{ kind: PUT, key, value, expiry }])
  }

  close(): void {
    runSync(this.engine.close())
  }
}

/** What of a place `openRaw` needs. */
export type RawPlace = Pick<Place, 'engine' | 'path' | 'form' | 'engineOptions'>

/** Opens the engine alone in the folder of a place. */
export function openRaw(
  place: RawPlace,
  environment: Environment,
  created: boolean,
  readOnly = false,
): RawEngine {
  const { engine: module, path, form } = place
  const { checksum = 'crc32', compression = 'none', encryption } = form
  const key = encryption && Buffer.from(encryption.key).toString('hex')
  if (created) environment.files.makeFolder(path).sync()
  const defaults = Object.entries(module.options).map(([name, rule]) => [name, rule.default])
  const engine = runSync(
    module.open({
      environment,
      folder: path,
      descriptor: {
        storeId: '00112233445566778899aabbccddeeff',
        engine: module.name,
        hashSeed: 12345,
        options: {},
        codecs: { keys: 'bytes', values: 'bytes' },
        checksum: 'crc32',
        compression: 'none',
        encryption: undefined,
        edition: 0,
        features: { compatible: 0, readOnlyCompatible: 0, incompatible: 0 },
      },
      form: storeForm(
        {
          checksum,
          compression,
          encryption: encryption && { cipher: encryption.cipher, key: key! },
        },
        (length) => environment.random(length),
      ),
      options: { ...Object.fromEntries(defaults), ...place.engineOptions },
      cacheBytes: 1024 * 1024,
      created,
      readOnly,
    }),
  )
  return new RawEngine(engine)
}

/** Runs a call again and again, each time with what it misses loaded, until it has an answer. */
function settle(found: Found, call: () => Status): Status {
  let status = call()
  while (status === BLOCKED) {
    const block = found.block!
    block.load.sync()
    try {
      status = call()
    } finally {
      block.release()
    }
  }
  if (status === SPREAD) runSync(found.gather())
  return status
}

function valueText(found: Found): string {
  return found.bytes.toString('latin1', found.start, found.end)
}

/** The environment with a clock that stands until it is set; jobs run here. */
export class SteppedEnvironment implements Environment {
  time: number
  readonly #outer: Environment

  constructor(outer: Environment, time: number) {
    this.#outer = outer
    this.time = time
  }

  get files(): Environment['files'] {
    return this.#outer.files
  }

  get pause(): Environment['pause'] {
    return this.#outer.pause
  }

  now(): number {
    return this.time
  }

  monotonic(): number {
    return this.#outer.monotonic()
  }

  random(length: number): Uint8Array {
    return this.#outer.random(length)
  }

  defer(callback: () => void): void {
    this.#outer.defer(callback)
  }

  timer(ms: number, callback: () => void): ReturnType<Environment['timer']> {
    return this.#outer.timer(ms, callback)
  }

  warn(message: string): void {
    this.#outer.warn(message)
  }
}
