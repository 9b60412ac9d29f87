import { closestMatch } from 'leven'
import { allSettings } from './given-settings.ts'
import type { SettingProblem } from './setting.ts'
import { type Environment, fileVariableOf, isGiven } from './setting-reader.ts'

/** The form of Cardea's setting names. Other variables belong to other programs. */
const settingLike = /^[A-Z][A-Z0-9_]{2,63}$/

/** `TRUSTED_PROXY` for `TRUSTED_PROXIES`: confusing singular and plural is the most common mistake. */
const singular = (name: string): string => name.replace(/IES$/, 'Y').replace(/S$/, '')

/**
 * Two letters in a long name. In a short one this would match other words: `USER` is two letters from `ISSUER`, and `POST` one from `HOST`.
 */
const maxDistance = (name: string): number => {
  if (name.length < 5) return 0
  return name.length < 8 ? 1 : 2
}

const variablesOf = (environment: Environment, isUnset: boolean): readonly string[] =>
  allSettings
    .filter((setting) => !(isUnset && isGiven(environment, setting)))
    .flatMap(({ name, isSecret }) => (isSecret ? [name, fileVariableOf(name)] : [name]))

/**
 * Variables that are not settings but resemble one that is not set. They would be silently ignored. Never shows a value, which may be a
 * secret.
 */
export const misspeltSettings = (environment: Environment = process.env): SettingProblem[] => {
  const known = new Set(variablesOf(environment, false))
  const candidates = new Map(variablesOf(environment, true).map((name) => [singular(name), name]))
  return Object.keys(environment).flatMap((name) => {
    if (known.has(name) || !settingLike.test(name) || !environment[name]) return []
    const plain = singular(name)
    const closest = closestMatch(plain, [...candidates.keys()], { maxDistance: maxDistance(plain) })
    const meant = closest === undefined ? undefined : candidates.get(closest)
    return meant === undefined
      ? []
      : [{ name, message: `is not a setting: did you mean ${meant}?` }]
  })
}
