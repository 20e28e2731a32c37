import { faultSuite } from '../../testing/crash/faults.ts'
import { subjects } from '../../testing/crash/subjects.ts'

faultSuite(subjects.btree)
