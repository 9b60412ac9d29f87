import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { rememberedCookies } from '../../src/cookie-sessions/find-cookie-session.ts'
import { newId, systemRandom } from '../../src/lib/machine.ts'
import { handleId, secretDigest } from '../../src/sessions/credentials.ts'
import { codecOf } from '../support/service/handles.ts'

const codec = codecOf(['a secret of the remembered cookies'])

const someHandle = () => ({
  sessionId: newId(systemRandom),
  generation: 2,
  secret: systemRandom(32),
})

/** The codec, and what it was asked to read. */
const watchedCodec = () => {
  const asked: string[] = []
  const read = (text: string) => {
    asked.push(text)
    return codec.read(text)
  }
  return { asked, read }
}

test('a handle that comes again says the same, and its MAC is not computed again', () => {
  const watched = watchedCodec()
  const read = rememberedCookies(watched)
  const handle = someHandle()
  const text = codec.write(handle)
  const { sessionId, generation, secret } = handle
  const digest = secretDigest(secret)
  const said = { sessionId, generation, secretDigest: digest, handleId: handleId(handle) }
  for (let time = 0; time < 3; time += 1) expect(read(text)).toEqual(said)
  expect(watched.asked).toEqual([text])
})

test('R51: what is remembered holds neither the handle nor its secret', () => {
  const read = rememberedCookies(codec)
  const { secret, ...rest } = someHandle()
  const text = codec.write({ ...rest, secret })
  const shown = inspect(read(text), { depth: null, maxArrayLength: null })
  expect(shown).not.toContain(text)
  expect(shown).not.toContain(inspect(secret).slice('<Buffer '.length, -'>'.length))
  expect(Object.keys(read(text) ?? {})).toEqual([
    'sessionId',
    'generation',
    'secretDigest',
    'handleId',
  ])
})

test('R51: what we did not make is nothing however often it comes, also when it is like what we made', () => {
  const watched = watchedCodec()
  const read = rememberedCookies(watched)
  const text = codec.write(someHandle())
  expect(read(text)).toBeDefined()
  const altered = `${text.slice(0, 60)}${text[60] === 'A' ? 'B' : 'A'}${text.slice(61)}`
  for (const wrong of [altered, `${text}=`, ` ${text}`, text.toLowerCase(), '']) {
    for (let time = 0; time < 2; time += 1) expect(read(wrong)).toBeUndefined()
  }
  expect(watched.asked).toHaveLength(11)
})

test('the handles of one session are told apart by generation and secret', () => {
  const read = rememberedCookies(codec)
  const handle = someHandle()
  const renewed = { ...handle, generation: 3 }
  expect(read(codec.write(handle))?.generation).toBe(2)
  expect(read(codec.write(renewed))?.generation).toBe(3)
  expect(read(codec.write(handle))?.generation).toBe(2)
})

test('a handle that is used stays, however many others come', () => {
  const watched = watchedCodec()
  const read = rememberedCookies(watched)
  const used = codec.write(someHandle())
  read(used)
  for (let count = 0; count < 6_000; count += 1) {
    read(codec.write(someHandle()))
    if (count % 1_000 === 0) read(used)
  }
  expect(watched.asked.filter((text) => text === used)).toHaveLength(1)
})
