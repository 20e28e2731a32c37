import { killSuite } from '../../testing/crash/kill.ts'
import { subjects } from '../../testing/crash/subjects.ts'

killSuite(subjects.log)
