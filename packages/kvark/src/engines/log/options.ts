/** Options of the log engine. */
export interface LogOptions {
  /**
   * Stale bytes (overwritten or deleted) from which compaction starts, once they are also a quarter of the data; default
   * 1 MiB. May change while open.
   */
  readonly compactionThresholdBytes?: number
  /** Size at which a segment file is closed and the next begun; default and maximum 64 MiB. May change while open. */
  readonly segmentBytes?: number
}
