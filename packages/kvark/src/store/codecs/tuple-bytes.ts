/** The two ends of a tuple's bytes: a buffer that grows, and a place in a buffer. */

const FIRST_BYTES = 256

export class Writer {
  bytes: Buffer = Buffer.allocUnsafe(FIRST_BYTES)
  length = 0

  /** Makes room for `count` more bytes. */
  ensure(count: number): void {
    if (this.length + count <= this.bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.bytes.length * 2, this.length + count))
    this.bytes.copy(larger, 0, 0, this.length)
    this.bytes = larger
  }

  byte(value: number): void {
    if (this.length === this.bytes.length) this.ensure(1)
    this.bytes[this.length++] = value
  }

  uint32(value: number): void {
    this.ensure(4)
    this.length = this.bytes.writeUInt32BE(value, this.length)
  }
}

export interface Reader {
  readonly bytes: Buffer
  at: number
  readonly end: number
}
