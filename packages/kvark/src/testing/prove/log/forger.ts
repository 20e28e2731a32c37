/**
 * Forges what a log has besides its segments:
 *
 *   manifest, footer of the stored index   ─► JSON ─► edited ─► sealed, checksums made
 *   shard of the stored index              ─► opened ─► edited ─► sealed anew, checksums made
 */

import {
  checksumAt,
  footerOf,
  SHARD_ENVELOPE_BYTES,
  SHARD_RECORD_BYTES,
  SHARD_TABLE_BYTES,
  type StoredShard,
  shardChecksum,
  shardsOf,
  withFooter,
} from '../../stored-index.ts'
import { Forger, type Json, type Links } from '../forger.ts'

interface LinkedFile {
  checksum: number
}

interface LinkedManifest {
  readonly packed: LinkedFile[]
  readonly journal: LinkedFile[]
  readonly floor: LinkedFile
}

export class LogForger extends Forger {
  /** What the footer of a stored index says behind the table of shards. */
  footer(name: string): Json {
    return JSON.parse(this.#footer(name).toString('utf8', SHARD_TABLE_BYTES)) as Json
  }

  /** A stored index whose footer says something else. */
  withFooter(name: string, footer: Json): Buffer {
    const table = this.#footer(name).subarray(0, SHARD_TABLE_BYTES)
    const plain = Buffer.concat([table, Buffer.from(JSON.stringify(footer))])
    return withFooter(this.content.get(name)!, this.#sealed(name, plain))
  }

  /** The shards of a stored index that hold something. */
  shards(name: string): StoredShard[] {
    return shardsOf(this.#footer(name), this.cipher !== undefined)
  }

  /** A stored index of which a shard, and what the table says of it, were edited. */
  withShard(
    name: string,
    shard: StoredShard,
    edit: (record: Buffer, slots: Buffer) => void,
  ): Buffer {
    const { cipher } = this
    const index = Buffer.from(this.content.get(name)!)
    const footer = Buffer.from(this.#footer(name))
    const { number, at, end } = shard
    const record = footer.subarray(number * SHARD_RECORD_BYTES, (number + 1) * SHARD_RECORD_BYTES)
    if (cipher) {
      const from = at + SHARD_ENVELOPE_BYTES
      const { life } = this.footer(name) as { life: number }
      const key = cipher.subkey('index', life)
      const place = Uint8Array.of(number)
      const slots = Buffer.from(cipher.decrypt(key, index, from, end - from, at, place)!)
      edit(record, slots)
      cipher.encrypt(key, slots, 0, slots.length, index, from, at, place)
    } else edit(record, index.subarray(at, end))
    footer.writeUInt32LE(shardChecksum(index, shard), checksumAt(number))
    return withFooter(index, this.#sealed(name, footer))
  }

  /** The manifest. */
  override linked(files: Map<string, Buffer>, links: Links): void {
    const manifest = this.json('MANIFEST')
    const { packed, journal, floor } = manifest as unknown as LinkedManifest
    for (const file of [...packed, ...journal, floor]) {
      file.checksum = links.get(file.checksum) ?? file.checksum
    }
    files.set('MANIFEST', this.file('MANIFEST', manifest))
  }

  /** The footer of a stored index as it is sealed. */
  #footer(name: string): Buffer {
    const bytes = footerOf(this.content.get(name)!)
    return this.cipher ? Buffer.from(this.cipher.unseal(name, bytes)!) : bytes
  }

  #sealed(name: string, plain: Uint8Array): Uint8Array {
    return this.cipher ? this.cipher.seal(name, plain) : plain
  }
}
