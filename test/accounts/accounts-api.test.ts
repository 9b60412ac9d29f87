import { afterAll, expect, onTestFinished, test } from 'vitest'
import { loadCommonPasswords } from '../../src/accounts/common-passwords.ts'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { startCardea, testPassword } from '../support/service/cardea.ts'
import { startCountedHashing } from '../support/service/counted-hashing.ts'

let token: string

const clock = fakeClock()
const cardea = await startCardea({ clock })
token = await cardea.operatorToken()
afterAll(() => cardea.stop())

let people = 0
const newEmail = () => {
  people += 1
  return `person-${people}@example.com`
}

const create = (password: string, email = newEmail(), service = cardea, by = token) =>
  service.client.post('/admin/accounts', { token: by, body: { email, password } })

const logIn = (email: string, password: string) =>
  cardea.client.post('/login', { body: { email, password } })

const rejected = (detail: RegExp) => ({
  status: 400,
  body: { code: 'password_rejected', detail: expect.stringMatching(detail) },
})

/** Text of so many code points that no list and no rule about repetition knows. */
const text = (length: number): string => {
  const words = 'quiet rivers carry eleven wooden boats beyond the northern harbour wall '
  return `${words.repeat(Math.ceil(length / words.length)).slice(0, length - 1)}z`
}

const rowOf = async (email: string) => {
  const query = 'SELECT email, email_canonical, password_phc FROM accounts WHERE email = $1'
  const [row] = await sqlAs(cardea.stores.migrateUrl)<{
    email: string
    email_canonical: string
    password_phc: string
  }>(query, [email])
  return row
}

test('an operator adds an account, and its owner can log in and see it', async () => {
  const email = newEmail()
  const answer = await cardea.client.post('/admin/accounts', {
    token,
    body: { email, password: testPassword, roles: ['reader', 'writer'] },
  })
  const time = new Date(clock.nowMs()).toISOString()
  const account = {
    id: expect.stringMatching(/^[\w-]{22}$/),
    email,
    status: 'active',
    roles: ['reader', 'writer'],
    created_at: time,
    updated_at: time,
  }
  expect(answer).toMatchObject({ status: 201 })
  expect(answer.body).toEqual(account)
  const { body } = await logIn(email, testPassword)
  const own = await cardea.client.get('/account', { token: body.access_token })
  expect(own.status).toBe(200)
  expect(own.body).toEqual(answer.body)
})

test('R3: 14 code points are too few for a password that is the only factor, 15 are enough', async () => {
  const detail = /has 14 characters; at least 15/
  expect(await create(text(14))).toMatchObject(rejected(detail))
  expect((await create(text(15))).status).toBe(201)
  // 14 emoji are 28 UTF-16 units and 56 bytes: neither counts.
  expect(await create('🍎🍏🍐🍑🍒🍓🍔🍕🍖🍗🍘🍙🍚🍛')).toMatchObject(rejected(detail))
})

test('R3: the setting lowers the limit for accounts with a second factor', async () => {
  const own = await startCardea({ config: { passwordMinLength: 8 } })
  onTestFinished(() => own.stop())
  const by = await own.operatorToken()
  const detail = /has 7 characters; at least 8/
  expect(await create('zq7 klb', newEmail(), own, by)).toMatchObject(rejected(detail))
  expect((await create('zq7 klbw', newEmail(), own, by)).status).toBe(201)
})

test.each([
  ['64 characters', text(64)],
  ['256 characters', text(256)],
  ['emoji, spaces and other scripts', ' пароль из 🐳🦊 слов と漢字 — naïve\u200d '],
  [
    '256 code points of four bytes each',
    Array.from({ length: 256 }, (_, at) => String.fromCodePoint(0x1f300 + at)).join(''),
  ],
])('R4: a password of %s can be set and used', async (_name, password) => {
  const email = newEmail()
  expect((await create(password, email)).status).toBe(201)
  expect((await logIn(email, password)).status).toBe(200)
  expect((await logIn(email, `${[...password].slice(0, -1).join('')}y`)).status).toBe(401)
})

test('R4: two passwords of 256 code points that differ in the last one only are two passwords', async () => {
  const email = newEmail()
  await create(text(256), email)
  expect((await logIn(email, `${text(256).slice(0, 255)}y`)).status).toBe(401)
  expect((await logIn(email, text(256))).status).toBe(200)
})

test('R4: one code point over the cap is refused before any hashing, when it is set and when it is used', async () => {
  const counted = await startCountedHashing(cardea)
  onTestFinished(() => counted.stop())
  for (const password of [text(257), text(1024), '🦊'.repeat(257)]) {
    const body = { email: newEmail(), password }
    const created = await counted.client.post('/admin/accounts', { token, body })
    expect(created).toMatchObject({ status: 400, body: { code: 'password_rejected' } })
    const used = await counted.client.post('/login', { body })
    expect(used).toMatchObject({ status: 400, body: { code: 'invalid_password' } })
  }
  expect(counted.computed()).toEqual({ checks: [], hashes: [] })
})

test('R5: no rule asks for kinds of characters, and no password grows too old', async () => {
  const email = newEmail()
  const password = 'quietriverscarryboats'
  expect((await create(password, email)).status).toBe(201)
  const own = await startCardea({ clock })
  try {
    const account = await own.createAccount()
    clock.advance(5 * 365 * 86_400_000)
    expect((await own.client.logIn(account)).status).toBe(200)
  } finally {
    await own.stop()
  }
  expect((await logIn(email, password)).status).toBe(200)
  token = await cardea.operatorToken()
})

test('R6: a common password is rejected with the reason, whatever its case; one that merely contains it is not', async () => {
  const { judge } = await loadCommonPasswords()
  expect(judge('1234567890123456')).toBeDefined()
  for (const password of [
    '1234567890123456',
    'passwordpassword',
    'QWERTYUIOPASDFGHJKL',
    'aaaaaaaaaaaaaaaaaaaa',
  ]) {
    const detail = /most commonly used|only repeats|only joins/
    expect(await create(password), password).toMatchObject(rejected(detail))
  }
  expect((await create('1234567890123456 quiet rivers')).status).toBe(201)
})

test('R6: the address and its local part are rejected as a whole, and not as a part', async () => {
  const local = 'wilhelmina.vanderbilt'
  const email = `${local}@example.com`
  for (const password of [local, email, local.toUpperCase()]) {
    expect(await create(password, email)).toMatchObject(
      rejected(/name of this service, the e-mail address/),
    )
  }
  expect((await create(`${local} and more`, email)).status).toBe(201)
})

test('R7: a password set in one Unicode form is typed in the other; what only looks alike is another one', async () => {
  const nfd = 'Ame\u0301lie \u0041\u030angstrom fi'
  const nfc = nfd.normalize('NFC')
  expect(nfc).not.toBe(nfd)
  const email = newEmail()
  expect((await create(nfd, email)).status).toBe(201)
  expect((await logIn(email, nfc)).status).toBe(200)
  expect((await logIn(email, nfd)).status).toBe(200)
  expect((await logIn(email, nfc.replace('fi', '\ufb01'))).status).toBe(401)
})

test('R8: half a character is refused as password and as identifier', async () => {
  const good = newEmail()
  await create(testPassword, good)
  for (const half of ['\\ud800', '\\udfff', 'a\\ud800b']) {
    const bodies = [
      `{"email":"${good}","password":"${testPassword}${half}"}`,
      `{"email":"${half}${good}","password":"${testPassword}"}`,
    ]
    for (const body of bodies) {
      expect((await cardea.client.post('/login', { body })).status).toBe(400)
      expect((await cardea.client.post('/admin/accounts', { token, body })).status).toBe(400)
    }
  }
})

test('R9: what is stored is argon2id at an OWASP cost, each with a salt of its own', async () => {
  const emails = [newEmail(), newEmail()]
  const hashes: string[] = []
  for (const email of emails) {
    await create(testPassword, email)
    hashes.push((await rowOf(email))?.password_phc ?? '')
  }
  const phc = /^\$argon2id\$v=19\$m=19456,t=2,p=1\$([A-Za-z0-9+/]{22,})\$([A-Za-z0-9+/]{43})$/
  const salts = hashes.map((hash) => phc.exec(hash)?.[1] ?? '')
  for (const salt of salts) expect(Buffer.from(salt, 'base64').length).toBeGreaterThanOrEqual(16)
  expect(new Set(salts).size).toBe(2)
})

test('R122: addresses that differ in case, in Unicode form or by the Kelvin sign are one account; mail goes to what was entered', async () => {
  const stored = 'MiKe.Ame\u0301lie@Example.COM'
  expect((await create(testPassword, stored)).status).toBe(201)
  const same = ['mike.Amélie@example.com', 'MI\u212ae.Am\u00e9lie@EXAMPLE.com']
  for (const email of same) {
    expect(await create(testPassword, email)).toMatchObject({
      status: 409,
      body: { code: 'account_exists' },
    })
    expect((await logIn(email, testPassword)).status).toBe(200)
  }
  const row = await rowOf(stored.normalize('NFC'))
  expect(row?.email_canonical).toBe('mike.amélie@example.com')
  // The dotted capital I is no other spelling of an i.
  expect((await logIn(stored.replace('i', '\u0130'), testPassword)).status).toBe(401)
})

test('R122: blanks around an address are no part of it, on every route that takes one', async () => {
  const plain = 'Autofill@example.com'
  const padded = [` ${plain}`, `${plain} `, `\u00a0${plain}\r\n`, `\t ${plain.toLowerCase()}`]
  const [first = '', ...others] = padded
  const created = await create(testPassword, first)
  expect(created).toMatchObject({ status: 201, body: { email: plain } })
  expect((await rowOf(plain))?.email_canonical).toBe('autofill@example.com')
  for (const email of [plain, ...others]) {
    expect(await create(testPassword, email)).toMatchObject({
      status: 409,
      body: { code: 'account_exists' },
    })
    expect((await logIn(email, testPassword)).status, JSON.stringify(email)).toBe(200)
    const query = new URLSearchParams({ email })
    const listed = await cardea.client.get(`/admin/accounts?${query}`, { token })
    expect(listed.body.accounts).toMatchObject([{ id: created.body.id }])
    const revoked = await cardea.client.post('/admin/revoke', { token, body: { email } })
    expect(revoked.status).toBe(200)
  }
  expect((await logIn(' ', testPassword)).body).toMatchObject({ code: 'invalid_email' })
  // The address is no password, with blanks around either of them.
  const asPassword = await create('somebody@example.com', ' somebody@example.com ')
  expect(asPassword).toMatchObject({ status: 400, body: { code: 'password_rejected' } })
})

test('R121: an address with control characters, spaces or no domain is refused with 400', async () => {
  const bad = [
    '\u0000@example.com',
    'a\r\nb@example.com',
    'a b@example.com',
    'a@',
    '@example.com',
    'a@b@c.com',
    'a\u202e@example.com',
    'plain',
    `${'a'.repeat(250)}@example.com`,
  ]
  for (const email of bad) {
    const body = { email, password: testPassword }
    for (const answer of [
      await cardea.client.post('/login', { body }),
      await cardea.client.post('/admin/accounts', { token, body }),
    ]) {
      expect(answer, JSON.stringify(email)).toMatchObject({
        status: 400,
        body: { code: expect.stringMatching(/^invalid_(email|request)$/) },
      })
    }
  }
})

test('roles have a plain form, at most 32 of them, none twice', async () => {
  const withRoles = (roles: unknown) =>
    cardea.client.post('/admin/accounts', {
      token,
      body: { email: newEmail(), password: testPassword, roles },
    })
  for (const roles of [
    ['Admin'],
    [''],
    ['a b'],
    ['a', 'a'],
    [1],
    'a',
    null,
    [`a${'b'.repeat(64)}`],
  ]) {
    expect((await withRoles(roles)).status, JSON.stringify(roles)).toBe(400)
  }
  const many = Array.from({ length: 33 }, (_, at) => `role-${at}`)
  expect((await withRoles(many)).status).toBe(400)
  expect((await withRoles(many.slice(1))).status).toBe(201)
})
