import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { parseRedisUrl, RedisUrlProblem } from '../../src/lib/redis-url.ts'

/** Makes sense of nothing but whether the canary is in any part of an error. */
const everythingIn = (error: unknown): string =>
  inspect(error, { depth: 10, showHidden: true }) + JSON.stringify(error) + String(error)

describe('the URL of a Redis', () => {
  test('names one server, with or without TLS', () => {
    expect(parseRedisUrl('redis://localhost')).toMatchObject({
      kind: 'single',
      tls: false,
      node: { host: 'localhost', port: 6379 },
      database: 0,
    })
    expect(parseRedisUrl('rediss://user:p%40ss%2Fword@[2001:db8::1]:6380/3')).toEqual({
      kind: 'single',
      tls: true,
      username: 'user',
      password: 'p@ss/word',
      node: { host: '2001:db8::1', port: 6380 },
      database: 3,
    })
  })

  test('names sentinels and the primary they watch', () => {
    expect(parseRedisUrl('rediss+sentinel://:secret@a:1,b/the-master/2')).toEqual({
      kind: 'sentinel',
      tls: true,
      username: undefined,
      password: 'secret',
      nodes: [
        { host: 'a', port: 1 },
        { host: 'b', port: 26379 },
      ],
      masterName: 'the-master',
      database: 2,
    })
  })

  test('names some nodes of a cluster', () => {
    expect(parseRedisUrl('redis+cluster://a:7000,b:7001')).toMatchObject({
      kind: 'cluster',
      nodes: [
        { host: 'a', port: 7000 },
        { host: 'b', port: 7001 },
      ],
    })
  })

  test.each([
    ...'http://:canary@host redis:/canary canary redis:// redis://:canary@'.split(' '),
    ...'redis://canary@host redis://user:@host redis://:canary%zz@host'.split(' '),
    ...'redis://:canary@@host redis://:canary@host:0 redis://:canary@host:65536'.split(' '),
    ...'redis://:canary@host:x redis://:canary@::1 redis://:canary@a,b'.split(' '),
    ...'redis://:canary@host/one redis://:canary@host/01 redis://:canary@host?db=1'.split(' '),
    ...'redis://:canary@host#1 redis+sentinel://:canary@a,b'.split(' '),
    ...'redis+sentinel://:canary@a/master/0/1 redis+cluster://:canary@a,,b'.split(' '),
    ...'redis+cluster://:canary@a/1 redis+unix://:canary@a'.split(' '),
    'redis://user:canary password@host',
  ])('that is %j is refused, and the error shows nothing of it', (url) => {
    const refusal = (() => {
      try {
        return parseRedisUrl(url)
      } catch (error) {
        return error
      }
    })()
    expect(refusal).toBeInstanceOf(RedisUrlProblem)
    expect(everythingIn(refusal)).not.toContain('canary')
  })
})
