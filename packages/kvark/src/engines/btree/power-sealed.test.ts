import { powerSuite } from '../../testing/crash/power.ts'
import { sealedSubjects } from '../../testing/crash/subjects.ts'

const SHARE = 0.02

for (const subject of sealedSubjects.btree) powerSuite(subject, SHARE)
