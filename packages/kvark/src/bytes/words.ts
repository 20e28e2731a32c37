/**
 * Bytes taken four at a time. A `Uint32Array` reads them in the machine's own order, so that only a little-endian machine
 * sees what is in our formats; elsewhere the callers go byte by byte.
 */

/** Whether the lowest byte of a word comes first on this machine, as on all but a few. */
export const LITTLE_ENDIAN: boolean = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1
