import { faultSuite } from '../../testing/crash/faults.ts'
import { sealedSubjects } from '../../testing/crash/subjects.ts'

for (const subject of sealedSubjects.log) faultSuite(subject, 1)
