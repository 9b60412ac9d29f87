import { expect, test } from 'vitest'
import { isPageOrigin, loopbackHint } from '../../src/wire.ts'

test('an origin is what browsers write, of a web page or of an app in a webview, and nothing wider', () => {
  const origins = [
    ...['https://app.example.com', 'https://app.example.com:8443', 'http://localhost:5173'],
    ...['http://[::1]:5173', 'https://xn--bcher-kva.example', 'capacitor://localhost'],
    ...['ionic://localhost', 'tauri://localhost', 'app://bundle', 'app://-', 'app://.'],
    'chrome-extension://abcdefghijklmnopabcdefghijklmnop',
  ]
  for (const origin of origins) expect(isPageOrigin(origin), origin).toBe(true)
  const others = [
    ...['', 'null', '*', 'https://*', 'https://*.example.com', 'app://*', 'app.example.com'],
    ...['https://app.example.com/', 'https://app.example.com:443', 'https://APP.example.com'],
    ...['https://ada@app.example.com', ' https://app.example.com', 'https://app.example.com\n'],
    ...['https://bücher.example', 'capacitor://localhost/', 'Capacitor://localhost'],
    ...['capacitor://Localhost', 'capacitor://ada@localhost', 'capacitor:localhost', 'app://'],
    ...['file://', 'file:///', 'file://localhost', 'ws://app.example.com', 'javascript:alert(1)'],
    ...['data:text/html,x', 'blob:https://app.example.com', `https://${'a.'.repeat(200)}example`],
  ]
  for (const text of others) expect(isPageOrigin(text), text).toBe(false)
})

test('a hint is given for two names of one machine only, and holds nothing but names and ports', () => {
  expect(loopbackHint('http://localhost:5173', '127.0.0.1:8088')).toBe(
    'Browsers take localhost and 127.0.0.1 for two sites: open the page as http://127.0.0.1:5173, or send its requests to localhost:8088.',
  )
  expect(loopbackHint('https://localhost', '[::1]:8088')).toContain(
    'open the page as https://[::1],',
  )
  for (const [origin, host] of [
    ['http://localhost:5173', 'localhost:8088'],
    ['http://127.0.0.1:5173', '127.0.0.1'],
    ['http://localhost:5173', 'auth.example.com'],
    ['https://app.example.com', '127.0.0.1:8088'],
    ['http://127.evil.example', 'auth.example.com'],
    ['capacitor://localhost', '127.0.0.1:8088'],
    ['null', '127.0.0.1:8088'],
    ['', '127.0.0.1:8088'],
    ['http://localhost:5173', undefined],
    ['http://localhost:5173', 'not a host'],
    ['http://localhost:5173', ''],
  ] as const) {
    expect(loopbackHint(origin, host), `${origin} ${host}`).toBeUndefined()
  }
})
