/**
 * The files that tell whether a format has changed:
 *
 *   npm run golden                   compares
 *   npm run golden -- --update       writes the digests of now to fixtures/golden.json: the change is intended
 *   npm run golden -- --fixtures     writes the fixtures of a new version
 */

import { readFileSync, writeFileSync } from 'node:fs'
import { isDeepStrictEqual, parseArgs } from 'node:util'
import { GOLDEN, makeFixtures } from './fixtures.ts'
import { goldenNow } from './golden.ts'

const { values } = parseArgs({
  options: { update: { type: 'boolean' }, fixtures: { type: 'boolean' } },
})
if (values.fixtures) makeFixtures()
const now = await goldenNow()
if (values.update) writeFileSync(GOLDEN, `${JSON.stringify(now, null, 2)}\n`)
const same = isDeepStrictEqual(JSON.parse(readFileSync(GOLDEN, 'utf8')), now)
process.stdout.write(
  same ? 'The format is as it was.\n' : 'The format has changed: see docs/format.\n',
)
process.exitCode = same ? 0 : 1
