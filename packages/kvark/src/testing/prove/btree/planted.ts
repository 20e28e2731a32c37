/** Bugs planted into the tree. */

import type { PlantedBug } from '../planted.ts'

export const treeBugs: readonly PlantedBug[] = [
  {
    name: 'a root is written before its pages are synced',
    file: 'engines/btree/checkpoint.ts',
    find: '    yield* state.sync()\n    fresh.synced()\n',
    replace: '    fresh.synced()\n',
    rows: ['crash-states'],
  },
  {
    name: 'the journal goes before the root is durable',
    file: 'engines/btree/checkpoint.ts',
    find: '    yield* state.sync()\n    state.drafts.delete(draft)\n',
    replace: '    state.drafts.delete(draft)\n',
    rows: ['crash-states'],
  },
  {
    name: 'pages of the root on the disk are free while the next one is being written',
    file: 'engines/btree/checkpoint.ts',
    find: "    yield* journal.commit('disk')\n",
    replace:
      "    yield* journal.commit('disk')\n    pages.views.end(state.view)\n    pages.views.hold(view)\n    state.view = view\n",
    rows: ['crash-states'],
  },
  {
    name: 'a page that a snapshot sees is written over',
    file: 'engines/btree/views.ts',
    find: '    if (view === undefined || this.#bornOf(page) > view.epoch) this.#free(page)\n',
    replace: '    if (view === undefined || this.#bornOf(page) >= view.epoch) this.#free(page)\n',
    rows: ['model-operations'],
  },
  {
    name: 'a snapshot that ends gives its pages back though an older one sees them',
    file: 'engines/btree/views.ts',
    find: '    const older = this.#living[at - 1]\n',
    replace: '    const older = this.#living[at - 2]\n',
    rows: ['model-operations'],
  },
  {
    name: 'the first piece of a long value is not written',
    file: 'engines/btree/checkpoint.ts',
    find: '    if (!pages.isFresh(number, this.#epoch)) return\n',
    replace:
      '    if (!pages.isFresh(number, this.#epoch)) return\n    if (pages.isPiece(number) && this.#count === 0) return\n',
    rows: ['crash-states'],
  },
  {
    name: 'the last of some pages in a row is not written, and goes from memory',
    file: 'engines/btree/checkpoint.ts',
    find: '    const length = this.#count * file.pageBytes\n',
    replace: '    const length = Math.max(1, this.#count - 1) * file.pageBytes\n',
    rows: ['model-operations'],
  },
  {
    name: 'a nonce is made of page and epoch: after a rollback it comes again',
    file: 'storage/cipher.ts',
    find: '    const nonce = this.#random(NONCE_BYTES)\n',
    replace: '    const nonce = Buffer.alloc(NONCE_BYTES, place)\n',
    rows: ['encryption'],
  },
  {
    name: 'the checksum of a child is not checked',
    file: 'engines/btree/file.ts',
    find: '    if (expected !== 0 && found !== expected) {\n',
    replace: '    if (expected !== 0 && found !== expected && isPiece) {\n',
    rows: ['sector-faults'],
  },
  {
    name: 'the mark of a long value is not checked',
    file: 'engines/btree/file.ts',
    find: '    if (expected !== 0 && found !== expected) {\n',
    replace: '    if (expected !== 0 && found !== expected && !isPiece) {\n',
    rows: ['sector-faults'],
  },
  {
    // That the mark of the close names a newer root is seen only where this is not.
    name: 'an older root is believed, and the journal behind it thrown away',
    file: 'storage/journal-recovery.ts',
    find: '    if (yield* this.#promisedBehind(looked, at)) {\n',
    replace: '    if (looked < from && (yield* this.#promisedBehind(looked, at))) {\n',
    rows: ['sector-faults'],
  },
  {
    name: 'a damaged root is healed in silence',
    file: 'engines/btree/recovery.ts',
    find: '    if (tail.closed && !isWhole) {\n',
    replace: '    if (tail.closed && !isWhole && root.number === 0) {\n',
    rows: ['sector-faults'],
  },
  {
    name: 'of two roots the older one is taken',
    file: 'engines/btree/recovery.ts',
    find: '    const [root] = roots.sort((a, b) => b.number - a.number)\n',
    replace: '    const [root] = roots.sort((a, b) => a.number - b.number)\n',
    rows: ['crash-states'],
  },
  {
    name: 'a deletion is not replayed',
    file: 'engines/btree/recovery.ts',
    find: '      if (kind === DELETE) this.#change.delete(key, 0, end)\n',
    replace:
      '      if (kind === DELETE && end === 0) this.#change.delete(key, 0, end)\n      else if (kind === DELETE) continue\n',
    rows: ['crash-states'],
  },
  {
    name: 'the last entry in the journal is not replayed',
    file: 'engines/btree/recovery.ts',
    find: '    this.#frame.push({ kind, flags, key, value: bytes.subarray(keyLength), sequence, expiry })\n',
    replace:
      '    if (this.#frame.length === 0 || flags === 0) this.#frame.push({ kind, flags, key, value: bytes.subarray(keyLength), sequence: sequence - 1, expiry })\n',
    rows: ['crash-states'],
  },
  {
    name: 'the map has no room for what it takes itself',
    file: 'engines/btree/checkpoint.ts',
    find: '    pages.views.eachKept(visit)\n    eachPage(root.map, visit)\n',
    replace: '    pages.views.eachKept(visit)\n    eachPage(root.map, visit)\n    visit(first)\n',
    rows: ['crash-states', 'crash-recovery'],
  },
  {
    name: 'a page that is divided loses its last entry',
    file: 'engines/btree/tree.ts',
    find: '    this.#take(page, old, this.#prefix(separator, high), middle, count)\n',
    replace: '    this.#take(page, old, this.#prefix(separator, high), middle, count - 1)\n',
    rows: ['model-operations'],
  },
  {
    name: 'the key between two pages is too short',
    file: 'engines/btree/tree.ts',
    find: '  return right.subarray(0, length + 1)\n',
    replace: '  return right.subarray(0, Math.max(1, length))\n',
    rows: ['model-operations'],
  },
  {
    name: 'a key is put into a page whose prefix it does not begin with',
    file: 'engines/btree/page.ts',
    find: '    return prefixLength === 0 || this.#comparePrefix(key, start, end, prefixLength) === 0\n',
    replace:
      '    return prefixLength >= 0 || this.#comparePrefix(key, start, end, prefixLength) === 0\n',
    rows: ['model-operations'],
  },
  {
    name: 'all operations of a batch have one version',
    file: 'engines/btree/engine.ts',
    find: '      sequence++\n',
    replace: '',
    rows: ['model-operations'],
  },
  {
    name: 'the journal names what was loaded before it is on the disk',
    file: 'engines/btree/page-spool.ts',
    find: '    yield* this.state.sync()\n    this.check()\n    const last',
    replace: '    const last',
    rows: ['crash-states'],
  },
  {
    name: 'recovery does not take the pages of what was loaded',
    file: 'engines/btree/recovery.ts',
    find: '        eachPage({ length: 0, mark: 0, runs: loaded.runs }, (page) => pages.space.mark(page))\n',
    replace: '',
    rows: ['crash-states'],
  },
  {
    name: 'the head of a queue passes over what somebody has taken',
    file: 'store/collections/queue.ts',
    find: '    const ends = yield* this.#row.without(position, endsOf(entry))\n',
    replace:
      '    let ends = yield* this.#row.without(position, endsOf(entry))\n    while (ends.head < ends.tail && this.#leases.has(ends.head)) ends = new Ends(ends.head + 1, ends.tail, ends.items)\n',
    rows: ['queue-crashes'],
  },
  {
    name: 'a change of a collection is told before it is durable',
    file: 'store/collections/collection.ts',
    find: '        await written\n        return change.result\n',
    replace: '        return change.result\n',
    rows: ['queue-crashes'],
  },
  {
    name: 'what a transaction has read is not judged',
    file: 'store/transaction-state.ts',
    find: '!this.reads.isChangedSince(this.begun, transactions.history)',
    replace: 'transactions.history.knows(this.begun)',
    rows: ['isolation'],
  },
  {
    name: 'a walk of a transaction leaves no trace',
    file: 'store/merged-cursor.ts',
    find: '    else reads.addRange(this.#begin, to)\n',
    replace: '',
    rows: ['isolation'],
  },
  {
    name: 'a transaction goes on with the newest state when others write',
    file: 'store/transactions.ts',
    find: '      if (!one.isBare) continue\n',
    replace: '      if (one.isBare) continue\n',
    rows: ['isolation'],
  },
]
