#!/usr/bin/env node
// Committed rather than built: npm links a package's bin before `prepare` has compiled anything.
import { main } from '../dist/cli/main.js'

// Setting the code instead of calling process.exit lets piped output drain.
process.exitCode = await main(process.argv.slice(2))
