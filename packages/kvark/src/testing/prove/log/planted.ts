/** Bugs planted into the log, and into what all engines have in common. */

import type { PlantedBug } from '../planted.ts'

export const logBugs: readonly PlantedBug[] = [
  {
    name: 'a manifest is renamed before it is synced',
    file: 'storage/sealed-file.ts',
    find: '      handle.write(bytes, 0, bytes.length, 0).sync()\n      yield* handle.sync()\n',
    replace: '      handle.write(bytes, 0, bytes.length, 0).sync()\n',
    rows: ['crash-states'],
  },
  {
    name: 'the name of a new manifest is not synced',
    file: 'storage/sealed-file.ts',
    find: '    throw error\n  }\n  yield* files.syncFolder(folder)\n',
    replace: '    throw error\n  }\n',
    rows: ['crash-states'],
  },
  {
    name: 'a bad checksum is accepted',
    file: 'storage/block-form.ts',
    find: '    if (this.#checksum(bytes, at + 4, blockEnd, seedOf(life, address)) !== readU32(bytes, at)) {\n      return -1\n    }\n',
    replace: '',
    rows: ['crash-states'],
  },
  {
    name: 'a failed sync is tried again',
    file: 'storage/journal.ts',
    find: '    } catch (error) {\n      throw this.fail(error)\n    }\n  }\n\n  /** From here on nothing is written,',
    replace:
      '    } catch (error) {\n      throw asKvarkError(error)\n    }\n  }\n\n  /** From here on nothing is written,',
    rows: ['sync-failures'],
  },
  {
    name: 'what a sync that failed may have lost is not written again',
    file: 'storage/journal.ts',
    find: '      for (const [segment, from] of suspects) yield* rewrite(segment, from, wanted)\n',
    replace:
      '      for (const [segment, from] of suspects) if (from < 0) yield* rewrite(segment, from, wanted)\n',
    rows: ['sync-failures', 'faults'],
  },
  {
    name: 'the name of a new segment is not synced',
    file: 'storage/journal.ts',
    find: '        yield* this.#environment.files.syncFolder(this.#folder)\n',
    replace: '',
    rows: ['crash-states'],
  },
  {
    name: 'a frame shares a sector with what is durable',
    file: 'storage/journal.ts',
    find: '    this.#writer?.beforeSync()\n',
    replace: '',
    rows: ['crash-states'],
  },
  {
    name: 'a write is acknowledged while it is being synced',
    file: 'storage/group-commit.ts',
    find: '    this.#syncing = runAsync(this.#sync())\n',
    replace: '    this.#syncing = runAsync(this.#sync())\n    round.resolve()\n',
    rows: ['crash-states'],
  },
  {
    name: 'a store is closed without syncing the journal',
    file: 'storage/journal.ts',
    find: "    yield* this.commit('disk')\n    return point\n",
    replace: "    yield* this.commit('os')\n    return point\n",
    rows: ['crash-states'],
  },
  {
    name: 'half a batch is taken for a whole one',
    file: 'storage/journal-recovery.ts',
    find: '      } else if (step === DAMAGED || (step === END && inFrame)) return cut()\n      else if (step === END) return { at: -1, end }\n',
    replace:
      '      } else if (step === DAMAGED) return cut()\n      else if (step === END) return { at: -1, end: inFrame ? walk.position : end }\n',
    rows: ['crash-states'],
  },
  {
    name: 'what was read of a batch that is cut short stays in the index',
    file: 'storage/journal-recovery.ts',
    find: '      if (inFrame) reader.undo()\n',
    replace: '',
    rows: ['crash-states'],
  },
  {
    name: 'a clear is not replayed',
    file: 'engines/log/replay.ts',
    find: '    if (this.#cleared) this.#clear(this.#segment!, this.#cleared)\n',
    replace:
      '    if (this.#cleared && this.#mark < 0) this.#clear(this.#segment!, this.#cleared)\n',
    rows: ['crash-states'],
  },
  {
    name: 'a segment whose predecessor never got its name is damage',
    file: 'storage/journal-recovery.ts',
    find: "    if (!known) return 'orphan'\n",
    replace: "    if (!known) throw corruption(file.path, 0, 'the one before it is missing')\n",
    rows: ['crash-states'],
  },
  {
    name: 'what compaction wrote is not synced',
    file: 'engines/log/jobs.ts',
    find: '    writer.flush()\n    yield* handle.sync()\n    yield* handle.close()\n',
    replace: '    writer.flush()\n    yield* handle.close()\n',
    rows: ['crash-states'],
  },
  {
    name: 'segments go before the manifest that no longer names them is there',
    file: 'engines/log/compaction.ts',
    find: '      (one) => one.removable && one.retiredAt <= oldest && !state.held.has(one),\n',
    replace: '      (one) => one.retiredAt <= oldest && !state.held.has(one),\n',
    rows: ['crash-states'],
  },
  {
    name: 'segments go although a snapshot needs them',
    file: 'engines/log/compaction.ts',
    find: '      (one) => one.removable && one.retiredAt <= oldest && !state.held.has(one),\n',
    replace: '      (one) => one.removable && oldest >= 0 && !state.held.has(one),\n',
    rows: ['crash-states'],
  },
  {
    name: 'a deletion is dropped while it still hides something',
    file: 'engines/log/compaction.ts',
    find: '      floor: Math.min(state.journal.sequence + 1, ...staying.map((one) => one.floor)),\n',
    replace: '      floor: staying.length >= 0 ? state.journal.sequence + 1 : 0,\n',
    rows: ['model-at-once'],
  },
  {
    name: 'a stored index says that it holds one write more than it does',
    file: 'engines/log/checkpoint.ts',
    find: '      used += writeShard(index, shard, state.journal.sequence, buffer, used, table, life, cipher)\n',
    replace:
      '      used += writeShard(index, shard, state.journal.sequence + 1, buffer, used, table, life, cipher)\n',
    rows: ['crash-states'],
  },
  {
    name: 'an entry that moved while it was overwritten hides the new one',
    file: 'engines/log/compaction.ts',
    find: '          const moved = index.replace(hash, result.from[next]!, position)\n          if (!moved) output.stale += result.size[next]!\n',
    replace:
      '          const moved = index.replace(hash, result.from[next]!, position)\n          if (!moved) index.insert(hash, position)\n',
    rows: ['crash-states'],
  },
  {
    name: 'a nonce is used again',
    file: 'storage/cipher.ts',
    find: '    const nonce = this.#random(NONCE_BYTES)\n',
    replace: '    const nonce = new Uint8Array(NONCE_BYTES)\n',
    rows: ['encryption'],
  },
  {
    name: 'what was decrypted is believed without its tag',
    file: 'storage/cipher.ts',
    find: '    decipher.final()\n',
    replace: '',
    rows: ['encryption'],
  },
  {
    name: 'a manifest from before the clean close is believed',
    file: 'storage/journal-recovery.ts',
    find: '    if (expected > number) {\n',
    replace: '    if (expected > number + 1) {\n',
    rows: ['sector-faults'],
  },
  {
    name: 'the length of a value is believed before the segment is known to go so far',
    file: 'storage/segment-walk.ts',
    find: '    if ((yield* source.readAt(Buffer.allocUnsafe(1), last, 1)) === 0) {\n',
    replace: '    if (last < 0) {\n',
    rows: ['malformed-files'],
  },
  {
    name: 'two processes have two locks',
    file: 'store/opening.ts',
    find: `  const lock = yield* files.lock(\`\${folder}/\${LOCK_NAME}\`, plan.lockTimeoutMs, plan.readOnly)\n`,
    replace: `  const lock = yield* files.lock(\`\${folder}/\${LOCK_NAME}.pid.new-\${process.pid}-0\`, plan.lockTimeoutMs, plan.readOnly)\n`,
    rows: ['two-processes'],
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
    name: 'nobody hears of writes any more when some transaction has ended',
    file: 'store/transactions.ts',
    find: '      this.history.trim(oldest.begun)\n',
    replace: '      this.history.trim(oldest.begun)\n      this.#life.queue.listener = undefined\n',
    rows: ['isolation'],
  },
  {
    name: 'a savepoint does not take everything back',
    file: 'store/pending-writes.ts',
    find: '      this.#last[key] = before\n',
    replace: '      this.#last[key] = before < 0 ? 0 : before\n',
    rows: ['isolation'],
  },
]
