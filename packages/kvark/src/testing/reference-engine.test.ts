import { contractSuite } from './contract-suite.ts'
import { referenceModule } from './reference-engine.ts'

contractSuite({ engine: referenceModule, environments: ['node', 'memory'] })
