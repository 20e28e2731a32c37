// @ts-check
// What a measurement may ask of a store. There is one adapter for each database, with the same verbs; a verb that a
// database does not have is left out, and rows that need it show nothing for it.

/** @typedef {string | Uint8Array} Value */

/**
 * What an awaited write survives: nothing, a killed process, a power cut a little later (it is synced in the background), a power cut.
 *
 * @typedef {'none' | 'os' | 'soon' | 'disk'} Durability
 */

/** @typedef {{ type: 'put', key: string, value: Value }} Put */

/**
 * @typedef {object} Opening
 * @property {string} folder
 * @property {Durability} durability
 * @property {'text' | 'bytes'} form what values are: strings or bytes
 * @property {number} valueBytes
 * @property {number} cacheBytes so much that everything fits
 * @property {object} options those of the subject
 */

/**
 * Entries of one kind. Their keys are not those of another kind.
 *
 * @typedef {object} Form
 * @property {(key: string) => Value | undefined} get
 * @property {(puts: Put[]) => unknown} batch what it returns is awaited
 */

/**
 * @typedef {object} Store
 * @property {(key: string) => Value | undefined} get
 * @property {(key: string) => Promise<Value | undefined> | Value | undefined} getAwaited the usual way in an async
 *   function
 * @property {(key: string, use: (bytes: Uint8Array) => number) => number | undefined} [view] the value's bytes without a
 *   copy
 * @property {(keys: string[]) => Promise<(Value | undefined)[]> | (Value | undefined)[]} getMany
 * @property {(visit: (value: Value) => void) => Promise<void> | void} scan every entry, with its key
 * @property {(from: string, count: number, visit: (value: Value) => void) => Promise<void> | void} [range] `count` entries from a key on, with their
 *   keys
 * @property {(keys: string[], puts: Put[]) => (Value | undefined)[]} [transact] gets and puts as one transaction; gives what the gets found
 * @property {(keys: string[], puts: Put[]) => Promise<(Value | undefined)[]> | (Value | undefined)[]} [transactAwaited]
 * @property {(key: string, value: Value) => void} [put]
 * @property {(key: string, value: Value) => unknown} putAwaited what it returns is awaited
 * @property {(key: string, value: Value) => void} [putDurable] opened with `disk`: it is on the disk when the call returns. Only where `putAwaited`
 *   is another way
 * @property {(keys: string[], puts: Put[]) => (Value | undefined)[]} [transactDurable] the same for a transaction
 * @property {(puts: Put[]) => unknown} batch what it returns is awaited
 * @property {(entries: Iterable<[string, Value]>) => unknown} [load] entries in the order of their keys; what it returns is awaited
 * @property {(keys: string[]) => unknown} removeMany what it returns is awaited
 * @property {Readonly<Record<string, Form>>} [forms] entries of other kinds beside the plain ones
 * @property {() => boolean} [busy] whether it works in the background
 * @property {() => unknown} close
 */

/**
 * @typedef {object} Adapter
 * @property {Readonly<Partial<Record<Durability, string>>>} durabilities the setting that is used for each; rows of one that is not there show nothing
 * @property {(opening: Opening) => Promise<Store> | Store} open at once, if the database can
 * @property {(opening: Opening) => Promise<Store>} [openAwaited]
 */

export {}
