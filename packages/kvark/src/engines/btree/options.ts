/** Options of the B+ tree. */
export interface BtreeOptions {
  /**
   * Bytes of a page: 4096, 8192, 16384 (default), 32768 or 65536. Larger ones are read faster, smaller ones written faster. A property of
   * the store.
   */
  readonly pageBytes?: number
  /**
   * Bytes of the journal from which a checkpoint begins; default 32 MiB. Writes wait for it from twice as many on, 4 MiB at least:
   * opening after a crash reads no more. May change while open.
   */
  readonly checkpointBytes?: number
}
