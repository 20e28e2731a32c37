import { backupSuite } from '../../testing/crash/backups.ts'
import { subjects } from '../../testing/crash/subjects.ts'

backupSuite(subjects.log)
