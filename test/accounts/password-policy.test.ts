import { describe, expect, test } from 'vitest'
import { parseEmail } from '../../src/accounts/email-address.ts'
import { checkNewPassword, passwordContext } from '../../src/accounts/password-policy.ts'
import { AppError } from '../../src/lib/app-error.ts'

/** The reason for a refusal, `code: detail`, or `accepted`. */
const verdict = async (password: string, options: { minLength?: number; email?: string } = {}) => {
  const context = passwordContext(parseEmail(options.email ?? 'ada@example.com'))
  try {
    await checkNewPassword(password, { minLength: options.minLength ?? 15, context })
    return 'accepted'
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    expect(error.status).toBe(400)
    return `${error.code}: ${error.detail}`
  }
}

const rejected = (detail: string) => `password_rejected: ${detail}`
const listed = rejected('The password is one of the most commonly used ones.')
const repeated = rejected('The password only repeats a short or common piece.')
const joined = rejected('The password only joins two of the most commonly used ones.')
const contextual = rejected(
  'The password is the name of this service, the e-mail address or the part before its @.',
)

describe('the policy for new passwords', () => {
  test('R3: 14 code points are refused and 15 accepted, whatever they take in UTF-16', async () => {
    const tooShort = rejected('The password has 14 characters; at least 15 are needed.')
    expect(await verdict('plum violin ten')).toBe('accepted')
    expect(await verdict('plum violin te')).toBe(tooShort)
    expect(await verdict('🍐🎻🔟🦊🐙🌵🍩🧲🪁🥁🛶🧭🪐🧶')).toBe(tooShort)
    expect(await verdict('🍐🎻🔟🦊🐙🌵🍩🧲🪁🥁🛶🧭🪐🧶🪜')).toBe('accepted')
  })

  test('R3: a lower limit is counted in the same way', async () => {
    expect(await verdict('plumviol', { minLength: 8 })).toBe('accepted')
    expect(await verdict('plumvio', { minLength: 8 })).toContain('at least 8')
  })

  test('R3: a password is measured in NFC, as it will be hashed', async () => {
    const fifteenInNfd = 'plum violin é'.normalize('NFD')
    expect(await verdict(fifteenInNfd, { minLength: 14 })).toContain('has 13 characters')
  })

  test('R4: 256 code points of any kind are accepted and 257 refused', async () => {
    const varied = Array.from({ length: 256 }, (_, index) => String.fromCodePoint(0x1f300 + index))
    expect(await verdict(varied.join(''))).toBe('accepted')
    expect(await verdict(`${varied.join('')}a`)).toBe(
      rejected('The password has 257 characters; at most 256 are allowed.'),
    )
    expect(await verdict('  spaces at both ends  ')).toBe('accepted')
  })

  test('R5: no mixture of kinds is asked for', async () => {
    for (const password of [
      'plumviolinteapotlamp',
      'PLUMVIOLINTEAPOT',
      '618033988749894848204586',
    ]) {
      expect(await verdict(password), password).toBe('accepted')
    }
  })

  test('R6: a listed password is refused in any case, and only as a whole', async () => {
    expect(await verdict('1qaz2wsx3edc4rfv')).toBe(listed)
    expect(await verdict('1QAZ2wsx3EDC4rfv')).toBe(listed)
    expect(await verdict('Mailcreated5240')).toBe(listed)
    expect(await verdict('1qaz2wsx3edc4rfv plum')).toBe('accepted')
    expect(await verdict('Password', { minLength: 8 })).toBe(listed)
    expect(await verdict('trustno1', { minLength: 8 })).toBe(listed)
    expect(await verdict('password violin', { minLength: 8 })).toBe('accepted')
  })

  test('R6: repeating a piece does not make a password', async () => {
    for (const password of ['yyyyyyyyyyyyyyyyyyyy', 'abdabdabdabdabda', 'hunter2hunter2hunter2']) {
      expect(await verdict(password), password).toBe(repeated)
    }
    expect(await verdict('baseballbaseball')).toBe(repeated)
    expect(await verdict('plumteapplumteap')).toBe('accepted')
  })

  test('R6: joining two of the most common passwords does not make one', async () => {
    expect(await verdict('footballpassword')).toBe(joined)
    expect(await verdict('qwertyuiop123321')).toBe(joined)
    expect(await verdict('footballteapots')).toBe('accepted')
  })

  test('R6: the product, the address and its local part are refused in any case, and only as a whole', async () => {
    const email = 'Augusta.King.Lovelace@example.com'
    expect(await verdict('augusta.KING.lovelace', { email })).toBe(contextual)
    expect(await verdict('augusta.king.lovelace@EXAMPLE.com', { email })).toBe(contextual)
    expect(await verdict('my augusta.king.lovelace', { email })).toBe('accepted')
    expect(await verdict('Cardea', { minLength: 6 })).toBe(contextual)
    expect(await verdict('cardeacardeacardea')).toBe(repeated)
  })

  test('R8: a lone surrogate is refused as text, not measured', async () => {
    expect(await verdict('plum violin ten\ud800')).toContain('invalid_password')
    expect(await verdict('\udfff')).toContain('invalid_password')
  })
})
