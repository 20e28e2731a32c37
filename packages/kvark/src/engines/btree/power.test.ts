import { powerSuite } from '../../testing/crash/power.ts'
import { subjects } from '../../testing/crash/subjects.ts'

powerSuite(subjects.btree, 0.5)
