// @ts-check
// Writes the WebAssembly kernels of the package as TypeScript: `npm run build:kernels`. They are assembled here, instruction by
// instruction, so that no compiler has to be installed for a few hundred bytes.
//
//   kernel (below) ─► assemble ─► bytes ─► base64 in packages/kvark/src/bytes/*-kernel.ts

import { writeFileSync } from 'node:fs'

/** `\0asm` and the version. */
const MAGIC = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]
const I32 = 0x7f
const I64 = 0x7e
const PAGE_BYTES = 65_536
/** Of memory: the longest input, a block of 64 KiB, has room behind the result. */
const PAGES = 2

/** @param {number} value */
function unsigned(value) {
  const bytes = []
  do {
    const low = value & 0x7f
    value >>>= 7
    bytes.push(value === 0 ? low : low | 0x80)
  } while (value !== 0)
  return bytes
}

/** @param {bigint} value */
function signed(value) {
  const bytes = []
  for (;;) {
    const low = Number(value & 0x7fn)
    value >>= 7n
    const done = (value === 0n && (low & 0x40) === 0) || (value === -1n && (low & 0x40) !== 0)
    bytes.push(done ? low : low | 0x80)
    if (done) return bytes
  }
}

/** @typedef {readonly number[]} Code what leaves one value, or does something */

/** @param {number} index @returns {Code} */
const get = (index) => [0x20, ...unsigned(index)]
/** @param {number} index @param {Code} value @returns {Code} */
const set = (index, value) => [...value, 0x21, ...unsigned(index)]
/** @param {number} value @returns {Code} */
const i32 = (value) => [0x41, ...signed(BigInt(value))]
/** @param {bigint} value @returns {Code} */
const i64 = (value) => [0x42, ...signed(BigInt.asIntN(64, value))]
/** @param {number} opcode */
const two = (opcode) => (/** @type {Code} */ a, /** @type {Code} */ b) => [...a, ...b, opcode]

const add32 = two(0x6a)
const sub32 = two(0x6b)
const lessOrEqual = two(0x4d)
const less = two(0x49)
const greaterOrEqual = two(0x4f)
const add = two(0x7c)
const sub = two(0x7d)
const mul = two(0x7e)
const xor = two(0x85)
const shiftRight = two(0x88)
const rotate = two(0x89)

/** @param {Code} value @returns {Code} */
const extend = (value) => [...value, 0xad]
/** @param {number} opcode */
const load =
  (opcode) =>
  (/** @type {Code} */ address, offset = 0) => [...address, opcode, 0, ...unsigned(offset)]
const load64 = load(0x29)
const load32 = load(0x35)
const load8 = load(0x31)
/** @param {Code} address @param {Code} value @returns {Code} */
const store64 = (address, value) => [...address, ...value, 0x37, 0, 0]
/** @param {Code} condition @param {Code} then @param {Code} [otherwise] @returns {Code} */
const when = (condition, then, otherwise) =>
  otherwise
    ? [...condition, 0x04, 0x40, ...then, 0x05, ...otherwise, 0x0b]
    : [...condition, 0x04, 0x40, ...then, 0x0b]
/** @param {Code} condition @param {Code} body @returns {Code} */
const loopWhile = (condition, body) =>
  when(condition, [0x03, 0x40, ...body, ...condition, 0x0d, 0, 0x0b])

/** @param {number} id @param {readonly number[]} content */
const section = (id, content) => [id, ...unsigned(content.length), ...content]
/** @param {string} text */
const name = (text) => [text.length, ...Buffer.from(text)]

/**
 * A module with memory, `memory`, and one function, `run`.
 *
 * @param {readonly number[]} parameters
 * @param {readonly number[]} locals
 * @param {Code} body
 */
function assemble(parameters, locals, body) {
  const code = [locals.length, ...locals.flatMap((type) => [1, type]), ...body, 0x0b]
  return Buffer.from([
    ...MAGIC,
    ...section(1, [1, 0x60, parameters.length, ...parameters, 0]),
    ...section(3, [1, 0]),
    ...section(5, [1, 1, PAGES, PAGES]),
    ...section(7, [2, ...name('memory'), 2, 0, ...name('run'), 0, 0]),
    ...section(10, [1, ...unsigned(code.length), ...code]),
  ])
}

/** Where the input begins; the result is at 0. */
const INPUT_AT = 16

/** XXH64 (Yann Collet, BSD 2-clause specification): `run(length, seed)`, input at 16, result at 0. */
function xxh64() {
  const P1 = i64(0x9e3779b185ebca87n)
  const P2 = i64(0xc2b2ae3d27d4eb4fn)
  const P3 = i64(0x165667b19e3779f9n)
  const P4 = i64(0x85ebca77c2b2ae63n)
  const P5 = i64(0x27d4eb2f165667c5n)
  const [length, seed, at, end, limit, hash] = [0, 1, 2, 3, 4, 5]
  const [first, second, third, fourth] = /** @type {const} */ ([6, 7, 8, 9])
  const lanes = [first, second, third, fourth]
  const wide = 10
  /** @param {Code} lane @param {Code} input */
  const round = (lane, input) => mul(rotate(add(lane, mul(input, P2)), i64(31n)), P1)
  /** @param {number} bytes */
  const forward = (bytes) => set(at, add32(get(at), i32(bytes)))
  /** @param {number} shift @param {Code} [factor] */
  const spread = (shift, factor) => {
    const mixed = xor(get(hash), shiftRight(get(hash), i64(BigInt(shift))))
    return set(hash, factor ? mul(mixed, factor) : mixed)
  }
  const turns = [1n, 7n, 12n, 18n]
  const merged = lanes
    .map((lane, i) => rotate(get(lane), i64(/** @type {bigint} */ (turns[i]))))
    .reduce((sum, one) => add(sum, one))
  const stripes = [
    ...set(first, add(add(get(wide), P1), P2)),
    ...set(second, add(get(wide), P2)),
    ...set(third, get(wide)),
    ...set(fourth, sub(get(wide), P1)),
    ...set(limit, sub32(get(end), i32(32))),
    ...loopWhile(lessOrEqual(get(at), get(limit)), [
      ...lanes.flatMap((lane, i) => set(lane, round(get(lane), load64(get(at), i * 8)))),
      ...forward(32),
    ]),
    ...set(hash, merged),
    ...lanes.flatMap((lane) =>
      set(hash, add(mul(xor(get(hash), round(i64(0n), get(lane))), P1), P4)),
    ),
  ]
  return assemble(
    [I32, I32],
    [I32, I32, I32, I64, I64, I64, I64, I64, I64],
    [
      ...set(at, i32(INPUT_AT)),
      ...set(end, add32(get(at), get(length))),
      ...set(wide, extend(get(seed))),
      ...when(greaterOrEqual(get(length), i32(32)), stripes, set(hash, add(get(wide), P5))),
      ...set(hash, add(get(hash), extend(get(length)))),
      ...loopWhile(lessOrEqual(add32(get(at), i32(8)), get(end)), [
        ...set(
          hash,
          add(mul(rotate(xor(get(hash), round(i64(0n), load64(get(at)))), i64(27n)), P1), P4),
        ),
        ...forward(8),
      ]),
      ...when(lessOrEqual(add32(get(at), i32(4)), get(end)), [
        ...set(hash, add(mul(rotate(xor(get(hash), mul(load32(get(at)), P1)), i64(23n)), P2), P3)),
        ...forward(4),
      ]),
      ...loopWhile(less(get(at), get(end)), [
        ...set(hash, mul(rotate(xor(get(hash), mul(load8(get(at)), P5)), i64(11n)), P1)),
        ...forward(1),
      ]),
      ...spread(33, P2),
      ...spread(29, P3),
      ...spread(32),
      ...store64(i32(0), get(hash)),
    ],
  )
}

const text = `/** XXH64 as WebAssembly. Generated by \`npm run build:kernels\`: do not edit. */

/** Where the input goes; the result is at 0. */
export const XXH64_INPUT_AT = ${INPUT_AT}
/** The longest input. */
export const XXH64_INPUT_BYTES: number = ${PAGES * PAGE_BYTES} - XXH64_INPUT_AT
export const XXH64_KERNEL =
  '${xxh64().toString('base64')}'
`
writeFileSync(new URL('../packages/kvark/src/bytes/xxh64-kernel.ts', import.meta.url), text)
