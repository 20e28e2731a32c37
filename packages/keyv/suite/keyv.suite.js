// @ts-check
// Keyv's own tests on both engines. Each store is an adapter of its own over one store of kvark, as its users have it.

import keyvTestSuite, { keyvIteratorTests } from '@keyv/test-suite'
import Keyv from 'keyv'
import { open } from 'kvark'
import * as test from 'vitest'
import { KvarkKeyv } from '../dist/index.js'

for (const engine of /** @type {const} */ (['btree', 'log'])) {
  const db = await open(':memory:', { engine, durability: 'os' })
  const store = () => new KvarkKeyv(db)
  test.describe(engine, () => {
    keyvTestSuite(test, Keyv, store)
    keyvIteratorTests(test, Keyv, store)
  })
}
