import { powerSuite } from '../../testing/crash/power.ts'
import { sealedSubjects } from '../../testing/crash/subjects.ts'

const SHARE = 0.05

for (const subject of sealedSubjects.log) powerSuite(subject, SHARE)
