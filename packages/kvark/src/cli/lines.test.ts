import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { lines } from './lines.ts'

async function collect(
  chunks: readonly string[],
  maxBytes?: number,
): Promise<[number, string, number][]> {
  async function* input(): AsyncGenerator<Buffer> {
    for (const chunk of chunks) yield Buffer.from(chunk)
  }
  const found: [number, string, number][] = []
  for await (const { number, bytes, end } of lines(input(), maxBytes)) {
    found.push([number, bytes.toString(), end])
  }
  return found
}

test('lines end at \\n only, wherever the chunks are cut', async () => {
  assert.deepEqual(await collect(['a\u2028b\r\n', '\nc', 'd']), [
    [1, 'a\u2028b\r', 7],
    [2, '', 8],
    [3, 'cd', 10],
  ])
  assert.deepEqual(await collect([]), [])
  assert.deepEqual(await collect(['a\n']), [[1, 'a', 2]])
})

test('the mark of UTF-8 before the first line is none of it', async () => {
  assert.deepEqual(await collect(['\uFEFFa\n\uFEFFb']), [
    [1, 'a', 5],
    [2, '\uFEFFb', 9],
  ])
  assert.deepEqual(await collect(['\uFEFFa']), [[1, 'a', 4]])
})

test('the lines do not depend on the cuts', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.constantFrom('\n', 'a', 'bc\n', '', '\n\n')), async (chunks) => {
      const whole = chunks.join('')
      const expected = whole.split('\n')
      if (expected.at(-1) === '') expected.pop()
      const found = await collect(chunks)
      assert.deepEqual(
        found.map(([, text]) => text),
        expected,
      )
      assert.equal(found.at(-1)?.[2] ?? 0, whole.length)
    }),
  )
})

test('a line that is too long is refused by its number, before it is complete', async () => {
  await assert.rejects(collect(['a\n', 'bbb', 'bb'], 4), {
    code: 'INVALID_ARGUMENT',
    message: /Line 2 /,
  })
  assert.equal((await collect(['bbbb\n'], 4)).length, 1)
})
