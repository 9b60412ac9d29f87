import { describe, expect, test } from 'vitest'
import { parseEmail } from '../../src/accounts/email-address.ts'

const canonical = (text: string): string => parseEmail(text).canonical

const refusal = (text: string): unknown => {
  try {
    return parseEmail(text)
  } catch (error) {
    return error
  }
}

describe('an e-mail address', () => {
  test('ordinary addresses are kept as written', () => {
    for (const text of [
      'ada@example.com',
      'operator@cardea.localhost',
      'ada@mailhost',
      'a.b+tag_x-1@sub.example.co.uk',
      "o'hara!#$%&*/=?^`{|}~@example.com",
      '用户@例え.jp',
    ]) {
      expect(parseEmail(text).address).toBe(text)
    }
  })

  test('R122: addresses that differ only by ASCII case or Unicode form are one', () => {
    expect(canonical('Ada.Lovelace@EXAMPLE.Com')).toBe('ada.lovelace@example.com')
    expect(parseEmail('Ada@Example.com').address).toBe('Ada@Example.com')
    expect(canonical('andre\u0301@example.com')).toBe(canonical('andr\u00e9@example.com'))
    expect(parseEmail('andre\u0301@example.com').address).toBe('andr\u00e9@example.com')
  })

  test('R122: the Kelvin sign is a k, in either part', () => {
    expect(canonical('mi\u212ae@example.com')).toBe('mike@example.com')
    expect(canonical('ada@\u212aelvin.example')).toBe('ada@kelvin.example')
  })

  test('R122: a dotted capital I stays itself before the @ and becomes Punycode after it', () => {
    expect(canonical('\u0130@example.com')).toBe('\u0130@example.com')
    expect(canonical('ada@\u0130.example')).toBe('ada@xn--i-9bb.example')
    expect(canonical('ada@i\u0307.example')).toBe('ada@xn--i-9bb.example')
  })

  test('R122: other letters before the @ keep their case, so no language decides for another', () => {
    expect(canonical('\u00c9ric@example.com')).not.toBe(canonical('\u00e9ric@example.com'))
    expect(canonical('stra\u00dfe@example.com')).not.toBe(canonical('strasse@example.com'))
  })

  test('R122: a domain in Unicode and in its ASCII form are one', () => {
    expect(canonical('ada@M\u00dcNCHEN.example')).toBe('ada@xn--mnchen-3ya.example')
    expect(canonical('ada@xn--mnchen-3ya.example')).toBe('ada@xn--mnchen-3ya.example')
    expect(canonical('ada@example\u3002com')).toBe('ada@example.com')
  })

  test('R122: the canonical form of a canonical form is itself', () => {
    for (const text of [
      'Ada@EXAMPLE.com',
      'mi\u212ae@b\u00fccher.example',
      '\u0130@\u0130.example',
    ]) {
      expect(canonical(canonical(text))).toBe(canonical(text))
    }
  })

  test.each([' ', '   ', '\t', '\r\n', '\u00a0', '\u3000', '\ufeff'])(
    'R122: blanks around it, as autofill and copying add them, are no part of it: %j',
    (blank) => {
      const plain = parseEmail('Ada@Example.com')
      for (const text of [`${blank}Ada@Example.com`, `Ada@Example.com${blank}`]) {
        expect(parseEmail(text)).toEqual(plain)
        expect(parseEmail(`${blank}${text}${blank}`)).toEqual(plain)
      }
    },
  )

  test.each([
    ['nothing', ''],
    ['no @', 'ada.example.com'],
    ['two @', 'ada@example.com@evil.example'],
    ['a second @ that only looks like one', 'ada@example.com\uff20evil.example'],
    ['an empty local part', '@example.com'],
    ['an empty domain', 'ada@'],
    ['an empty label', 'ada@example..com'],
    ['a trailing dot', 'ada@example.com.'],
    ['an empty atom', 'ada..king@example.com'],
    ['a leading dot', '.ada@example.com'],
    ['a quoted local part', '"ada"@example.com'],
    ['an angle bracket', '<ada@example.com>'],
    ['a list', 'ada@example.com,eve@example.com'],
    ['NUL', 'ada\0@example.com'],
    ['a line break', 'ada@example.com\r\nBcc: eve@example.com'],
    ['DEL', 'ada\u007f@example.com'],
    ['a C1 control', 'ada\u0085@example.com'],
    ['a space', 'ada king@example.com'],
    ['a space before the @', 'ada @example.com'],
    ['a space after the @', 'ada@ example.com'],
    ['a no-break space', 'ada\u00a0@example.com'],
    ['an ideographic space', 'ada\u3000@example.com'],
    ['nothing but blanks', ' \t\r\n'],
    ['a lone surrogate', 'ada\ud800@example.com'],
    ['a lone surrogate in the domain', 'ada@ex\udfffample.com'],
    ['a right-to-left override', 'ada\u202e@example.com'],
    ['a zero-width joiner', 'ada\u200d@example.com'],
    ['a soft hyphen in the domain', 'ada@exam\u00adple.com'],
    ['a byte order mark', 'ada\ufeff@example.com'],
    ['a zero-width space at the end', 'ada@example.com\u200b'],
    ['NUL at the end', 'ada@example.com\0'],
    ['a private-use character', 'ada\ue000@example.com'],
    ['an unassigned code point', 'ada\u0378@example.com'],
    ['a semicolon by normalisation', 'ada\u037e@example.com'],
    ['a URL path', 'ada@example.com/evil'],
    ['a slash by IDNA', 'ada@example.com\uff0fevil'],
    ['a port', 'ada@example.com:25'],
    ['a percent escape', 'ada@%65xample.com'],
    ['an underscore in the domain', 'ada@ex_ample.com'],
    ['a label that begins with a hyphen', 'ada@-example.com'],
    ['a label that ends with a hyphen', 'ada@example-.com'],
    ['a label of 64 characters', `ada@${'a'.repeat(64)}.com`],
    ['bad Punycode beside Unicode', 'ada@xn--a.\u00fc.example'],
    ['an IP address', 'ada@127.0.0.1'],
    ['an IP address in short', 'ada@0x7f.1'],
    ['an address literal', 'ada@[127.0.0.1]'],
  ])('R121: %s is refused with 400', (_, text) => {
    expect(refusal(text)).toMatchObject({ code: 'invalid_email', status: 400 })
  })

  test('254 bytes are accepted and 255 refused, counted in UTF-8, as written and in canonical form', () => {
    const domain = '@example.com'
    const fits = 'a'.repeat(254 - domain.length) + domain
    expect(parseEmail(fits).canonical).toBe(fits)
    expect(refusal(`a${fits}`)).toMatchObject({ code: 'invalid_email' })
    const wide = '\u00e9'.repeat(122)
    expect(refusal(`${wide}${domain}`)).toMatchObject({ code: 'invalid_email' })
    const growsInAscii = `${'a'.repeat(60)}@${'\u00fc.'.repeat(40)}example`
    expect(Buffer.byteLength(growsInAscii)).toBeLessThan(254)
    expect(refusal(growsInAscii)).toMatchObject({ code: 'invalid_email' })
  })

  test('a refusal does not repeat the address', () => {
    expect(String(refusal('secret name@example.com'))).not.toContain('secret')
  })
})
