/**
 * The reference engine's cursor: a place in an array that never changes. Its token is the next key.
 */

import {
  BLOCKED,
  type EngineCursor,
  MISSING,
  type ScanRequest,
  type Status,
} from '../engine/engine.ts'
import type { Found } from '../engine/found.ts'
import type { Environment } from '../environment/environment.ts'
import { KvarkError } from '../errors.ts'
import {
  answer,
  isExpired,
  lowerBound,
  pausingBlock,
  type Record,
  type View,
} from './reference-records.ts'

/** Every so many steps find something missing in memory. */
const BLOCKS_EVERY = 5

/** First byte of a token: nothing more comes, or the next key follows. */
const TOKEN_END = 0
const TOKEN_KEY = 1

export class ReferenceCursor implements EngineCursor {
  readonly #environment: Environment
  readonly #view: View
  readonly #release: () => void
  readonly #reverse: boolean
  /** The range, as places in the view: from (inclusive) to (exclusive). */
  readonly #from: number
  readonly #to: number
  /** The place of the next record. */
  #place: number
  #steps = 0
  #loaded = false

  /** `release` runs when the cursor is closed. */
  constructor(environment: Environment, view: View, request: ScanRequest, release: () => void) {
    const { records } = view
    this.#environment = environment
    this.#view = view
    this.#release = release
    this.#reverse = request.reverse
    this.#from = lowerBound(records, request.from)
    this.#to = request.to.length === 0 ? records.length : lowerBound(records, request.to)
    this.#place = this.#reverse ? this.#to - 1 : this.#from
    if (request.token === undefined) return
    if (request.token[0] === TOKEN_END) this.#place = this.#reverse ? this.#from - 1 : this.#to
    else if (request.token[0] !== TOKEN_KEY) {
      throw new KvarkError(
        'INVALID_ARGUMENT',
        'This token was not made by a cursor of this store. Begin without one.',
      )
    } else this.seek(request.token.subarray(1), request.token.length - 1)
  }

  next(found: Found): Status {
    if (!this.#loaded && ++this.#steps % BLOCKS_EVERY === 0) {
      found.block = pausingBlock(
        this.#environment,
        () => {
          this.#loaded = true
        },
        () => {},
      )
      return BLOCKED
    }
    this.#loaded = false
    const record = this.#nextLive()
    if (record === undefined) return MISSING
    this.#place += this.#reverse ? -1 : 1
    found.keyBytes = record.key
    found.keyStart = 0
    found.keyEnd = record.key.length
    return answer(found, record, this.#environment)
  }

  seek(key: Uint8Array, length: number): void {
    const { records } = this.#view
    const wanted = key.subarray(0, length)
    let place = lowerBound(records, wanted)
    if (this.#reverse && !records[place]?.key.equals(wanted)) place--
    this.#place = this.#reverse
      ? Math.max(this.#from - 1, Math.min(this.#to - 1, place))
      : Math.max(this.#from, Math.min(this.#to, place))
  }

  token(): Uint8Array {
    const record = this.#nextLive()
    return record === undefined
      ? new Uint8Array([TOKEN_END])
      : new Uint8Array([TOKEN_KEY, ...record.key])
  }

  takeBack(): void {
    this.#place += this.#reverse ? 1 : -1
  }

  close(): void {
    this.#release()
  }

  /** The record at `#place`, once expired ones are passed over; `undefined` at the end. */
  #nextLive(): Record | undefined {
    while (this.#place >= this.#from && this.#place < this.#to) {
      const record = this.#view.records[this.#place]!
      if (!isExpired(record, this.#view.clock)) return record
      this.#place += this.#reverse ? -1 : 1
    }
    return undefined
  }
}
