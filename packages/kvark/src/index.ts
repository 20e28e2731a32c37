/**
 * kvark: an embedded key-value database. The whole public API; importing it opens and starts nothing.
 */

export type {
  Events,
  FailureEvent,
  JobEnd,
  JobEvent,
  JobStart,
  SlowEvent,
  StoreEvent,
} from './engine/events.ts'
export type {
  BackupReport,
  EngineStats,
  Inspection,
  Limits,
  LostKey,
  LostRange,
  Progress,
  RepairReport,
  Supports,
  TreeLevel,
  VerifyReport,
} from './engine/facts.ts'
export type { BtreeOptions } from './engines/btree/options.ts'
export type { LogOptions } from './engines/log/options.ts'
export type { Environment, Job, Timer } from './environment/environment.ts'
export type { Effect } from './environment/routine.ts'
export { type ErrorCode, type ErrorFields, KvarkError } from './errors.ts'
export type { ChecksumName } from './storage/block-form.ts'
export type { CipherName } from './storage/cipher.ts'
export type { CompressionName } from './storage/compression.ts'
export type { Durability } from './storage/durability.ts'
export type {
  BatchOperation,
  ByteSource,
  ClearOptions,
  Condition,
  Cursor,
  DurabilityOptions,
  Entry,
  Expiry,
  JobOptions,
  KeyRange,
  LoadOptions,
  OrderedCursor,
  PutOptions,
  RangeOptions,
  ScanOptions,
  TouchOptions,
  TransactionOptions,
  UpdateOptions,
  WriteOptions,
} from './store/call-types.ts'
export type {
  Change,
  ChangeFacts,
  ClearChange,
  DeleteChange,
  DropChange,
  Followed,
  Gap,
  LoadChange,
  PutChange,
  RenameChange,
  StreamChange,
  Watch,
  WatchOptions,
} from './store/change-types.ts'
export type {
  Codec,
  KeyCodecs,
  Tuple,
  TupleElement,
  ValueCodecs,
} from './store/codec.ts'
export { type ConvertOptions, type ConvertReport, convert, convertSync } from './store/convert.ts'
export {
  type DestroyOptions,
  type DestroyReport,
  destroy,
  destroySync,
} from './store/destroy.ts'
export { type Follower, type FollowOptions, follow } from './store/follow.ts'
export {
  type DescribeOptions,
  describe,
  describeSync,
  open,
  openSync,
  type StoreDescription,
} from './store/open.ts'
export type {
  DefaultEngine,
  Encryption,
  EngineMap,
  EngineName,
  OpenOptions,
  StoreOptions,
} from './store/options.ts'
export { type RekeyOptions, rekey, rekeySync } from './store/rekey.ts'
export { type RepairOptions, repair, repairSync } from './store/repair.ts'
export type { StandardIssue, StandardResult, StandardSchema } from './store/standard-schema.ts'
export type {
  AtomicStore,
  AtomicTable,
  BackupOptions,
  Configurable,
  ExpiryInterval,
  OrderedReader,
  OrderedSnapshot,
  OrderedStore,
  OrderedTable,
  OrderedTransaction,
  OrderedTransactionTable,
  Reader,
  Savepoint,
  SchemaOption,
  Snapshot,
  Stats,
  Store,
  StoreLife,
  Table,
  TableAccess,
  TableInfo,
  TableKinds,
  TableOperation,
  TableOptions,
  Tables,
  Transaction,
  TransactionTable,
} from './store/types.ts'
export type { FileHandle, FileLock, FileStat, Files, OpenMode } from './vfs/files.ts'
