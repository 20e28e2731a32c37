/**
 * `@kvark/level`: an abstract-level database on kvark's B+ tree. The whole public API; importing it opens and starts nothing.
 */

export { type ErrorCode, LevelError } from './errors.ts'
export { Level } from './level.ts'
export type {
  BatchOptions,
  CacheOptions,
  ChainedBatch,
  ChainedBatchWriteOptions,
  ClearOptions,
  DatabaseOptions,
  DelOptions,
  GetManyOptions,
  GetOptions,
  HasManyOptions,
  HasOptions,
  IteratorOptions,
  KeyIteratorOptions,
  KvarkOptions,
  OpenOptions,
  PutOptions,
  StartEndOptions,
  SyncOptions,
  ValueIteratorOptions,
  WalkOptions,
} from './options.ts'
export type { ByteStore } from './snapshot.ts'
