/** The storage engines, by name. The only place that names them all; loading it opens and starts nothing. */

import type { EngineModule } from './engine/engine.ts'
import { btree } from './engines/btree/module.ts'
import { log } from './engines/log/module.ts'

export const engines: Readonly<Record<string, EngineModule>> = { btree, log }
