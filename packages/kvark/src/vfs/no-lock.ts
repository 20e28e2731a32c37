/** The lock of who needs none: it keeps nobody off. */

import { immediate } from '../environment/routine.ts'
import type { FileLock } from './files.ts'

export const NO_LOCK: FileLock = { release: () => immediate(() => {}) }
