import { powerSuite } from '../../testing/crash/power.ts'
import { subjects } from '../../testing/crash/subjects.ts'

// `npm run prove` has many more, of all forms.
powerSuite(subjects.log, 0.1)
