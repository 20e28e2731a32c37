/**
 * Stores that are opened, looked at, rekeyed and destroyed with what is no path and are no options.
 */

import { describe, describeSync, destroy, destroySync, rekey, rekeySync } from '../../../index.ts'
import { ARGUMENT, type Ground, type Misuse, promises, type Verb } from './case.ts'
import type { Wrong } from './values.ts'
import * as wrong from './values.ts'

export function* opening(): Generator<Misuse> {
  for (const how of ['sync', 'awaited'] as const) {
    const promising = how === 'awaited'
    for (const [what, make] of Object.entries(wrong.wrongPaths)) {
      yield {
        name: `open ${how} at a path: ${what}`,
        must: ARGUMENT,
        promises: promising,
        act: (ground) => ground.open(how, make(), { environment: ground.environment }),
      }
    }
    for (const [what, make] of Object.entries(wrong.wrongOpenOptions)) {
      for (const place of ['/none', '/utf8']) {
        yield {
          name: `open ${how} of ${place} with options: ${what}`,
          must: { codes: ['INVALID_ARGUMENT'] },
          promises: promising,
          act: (ground) => {
            const options = make()
            const isPlain =
              typeof options === 'object' && options !== null && !Array.isArray(options)
            return ground.open(
              how,
              place,
              isPlain ? { environment: ground.environment, ...options } : options,
            )
          },
        }
      }
    }
    yield {
      name: `open ${how} of a store that is open`,
      must: { codes: ['LOCKED'] },
      promises: promising,
      act: (ground) => {
        ground.own()
        return ground.open(how, '/own', { environment: ground.environment })
      },
    }
  }
  const beside: Readonly<Record<string, (path: unknown, options: unknown) => unknown>> = {
    describe: describe as Verb,
    describeSync: describeSync as Verb,
    destroy: destroy as Verb,
    destroySync: destroySync as Verb,
    rekey: rekey as unknown as Verb,
    rekeySync: rekeySync as unknown as Verb,
  }
  const secrets = { encryption: { passphrase: 'a' }, to: { passphrase: 'b' } }
  for (const [verb, call] of Object.entries(beside)) {
    const good = (ground: Ground): object => ({
      environment: ground.environment,
      ...(verb.startsWith('rekey') && secrets),
    })
    for (const [what, make] of Object.entries(wrong.wrongPaths)) {
      yield {
        name: `${verb} of a path: ${what}`,
        must: ARGUMENT,
        promises: promises(verb),
        act: (ground) => call(make(), good(ground)),
      }
    }
    const options: Wrong = {
      null: () => null,
      text: () => 'a',
      'a number': () => 1,
      'an array': () => [],
      'an environment that is none': () => ({ ...secrets, environment: {} }),
      'an environment that is text': () => ({ ...secrets, environment: 'memory' }),
      'an option that is misspelt': () => ({ ...secrets, enviroment: {} }),
    }
    for (const [what, make] of Object.entries(options)) {
      yield {
        name: `${verb} with options: ${what}`,
        must: ARGUMENT,
        promises: promises(verb),
        act: () => call('/none', make()),
      }
    }
    yield {
      name: `${verb} where there is nothing`,
      must: { codes: ['NOT_FOUND'] },
      promises: promises(verb),
      act: (ground) => call('/none', good(ground)),
    }
    if (verb.startsWith('describe')) continue
    yield {
      name: `${verb} of a store that is open`,
      must: { codes: ['LOCKED', 'MISMATCH'] },
      promises: promises(verb),
      act: (ground) => call('/utf8', good(ground)),
    }
    if (!verb.startsWith('rekey')) continue
    for (const name of ['encryption', 'to']) {
      for (const [i, secret] of [
        undefined,
        null,
        'a',
        {},
        [],
        { key: 'a' },
        { passphrase: '' },
      ].entries()) {
        yield {
          name: `${verb} with '${name}', wrong way ${i}`,
          must: ARGUMENT,
          promises: promises(verb),
          act: (ground) => call('/none', { ...good(ground), [name]: secret }),
        }
      }
    }
  }
}
