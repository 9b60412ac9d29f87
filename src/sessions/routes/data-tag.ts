import { httpErrors } from '../../http/errors.ts'
import { sessionErrors } from '../errors.ts'

/** The strong entity tag of a version of the data (RFC 9110 section 8.8.3). */
export const dataTag = (version: number): string => `"${version}"`

const strongTag = /^"([\x21\x23-\x7e\x80-\xff]*)"$/

const ourTag = /^(?:0|[1-9]\d{0,8})$/

/**
 * The version that `If-Match` names; undefined for `*`, which any version fits.
 * @throws precondition_required without one, invalid_request for anything but one strong tag or `*` (RFC 9110 section 13.1.1 asks
 * for a strong comparison, and a list of versions makes no sense here), precondition_failed for a tag that was never ours
 */
export const versionOfTag = (header: string | undefined): number | undefined => {
  if (header === undefined) throw sessionErrors.error('precondition_required')
  if (header === '*') return undefined
  const tag = strongTag.exec(header)?.[1]
  if (tag === undefined) {
    throw httpErrors.error('invalid_request', { detail: 'If-Match must be one strong entity tag.' })
  }
  if (!ourTag.test(tag)) throw sessionErrors.error('precondition_failed')
  return Number(tag)
}
