/** `verify`: reads and checks every byte; one line for each damaged place. */

import { EXIT_OK, EXIT_STORAGE, jsonOf, messageOf } from '../errors.ts'
import { countOf, humanBytes } from '../output.ts'
import { type Context, locate, withStore } from '../session.ts'

export async function verify(context: Context): Promise<number> {
  const { io, output } = context
  const report = await withStore(await locate(context), async (_root, store) => {
    const progress = await output.progress('Verifying')
    try {
      return await store.verify({ signal: io.signal, progress: progress.update })
    } finally {
      progress.stop()
    }
  })
  const { entries, bytes, problems } = report
  if (output.json) {
    await output.jsonLine({
      entries,
      bytes,
      problems: problems.map((problem) => jsonOf(problem).error),
    })
  } else {
    for (const problem of problems)
      await output.line(`${output.paint('red', problem.code)} ${messageOf(problem)}`)
    const result =
      problems.length === 0
        ? output.paint('green', 'no problems')
        : output.paint('red', countOf(problems.length, 'problem', 'problems'))
    await output.line(
      `${countOf(entries, 'entry', 'entries')}, ${humanBytes(bytes)} checked: ${result}`,
    )
  }
  return problems.length === 0 ? EXIT_OK : EXIT_STORAGE
}
