import { closingSuite } from '../../testing/crash/closing.ts'
import { subjects } from '../../testing/crash/subjects.ts'

closingSuite(subjects.log)
