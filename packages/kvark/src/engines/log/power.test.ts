import { powerSuite } from '../../testing/crash/power.ts'
import { subjects } from '../../testing/crash/subjects.ts'

powerSuite(subjects.log)
