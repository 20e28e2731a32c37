/**
 * Collections on kvark: queues, lists, sets, sets of numbers and counters, each in a table of a store. Apart from the rest of the package, so that who does not use
 * them does not load them.
 */

export type { CollectionStore } from './store/collections/collection.ts'
export { type Counters, type CountersOptions, counters } from './store/collections/counters.ts'
export {
  type IntRange,
  type IntSets,
  type IntSetsOptions,
  intSets,
} from './store/collections/int-sets.ts'
export { type List, type ListOptions, type ListWalk, list } from './store/collections/list.ts'
export {
  type Queue,
  type QueueOptions,
  queue,
  type Taken,
  type TakeOptions,
} from './store/collections/queue.ts'
export { type OrderedSet, type SetOf, type SetOptions, set } from './store/collections/set.ts'
