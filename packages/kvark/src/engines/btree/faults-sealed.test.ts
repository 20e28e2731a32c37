import { faultSuite } from '../../testing/crash/faults.ts'
import { sealedSubjects } from '../../testing/crash/subjects.ts'

for (const subject of sealedSubjects.btree) faultSuite(subject, 1)
