import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, expect, onTestFinished, test } from 'vitest'
import { readBrand } from '../../src/brand.ts'
import { scratchFolder } from '../support/programs/scratch-folder.ts'
import { startCardea } from '../support/service/cardea.ts'
import { formBrowser } from '../support/service/form-browser.ts'

const svg = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'

const folder = await scratchFolder('brand')
await writeFile(join(folder.path, 'logo.svg'), svg)
await writeFile(join(folder.path, 'large.png'), Buffer.alloc(64 * 1024 + 1))
afterAll(async () => await folder?.remove())

test('R101: the pages show the name as text and the logo as an image that the page itself holds', async () => {
  const serviceLogo = join(folder.path, 'logo.svg')
  const serviceName = 'Ärzte & <b>Co</b>'
  const cardea = await startCardea({ config: { serviceName, serviceLogo } })
  onTestFinished(() => cardea.stop())
  for (const [path, title] of [
    ['/login', 'Log in'],
    ['/logout', 'Logged out'],
    ['/', 'Not logged in'],
  ] as const) {
    const { headers, page } = await formBrowser(cardea.client.address).open(path)
    expect(page().one('title').text).toBe(`${title} - ${serviceName}`)
    expect(page().one('span').text).toBe(serviceName)
    const src = page().one('img').attributes.get('src') ?? ''
    expect(src).toBe(`data:image/svg+xml;base64,${Buffer.from(svg).toString('base64')}`)
    expect(headers.get('content-security-policy')).toContain('; img-src data:; ')
  }
})

test('a logo that cannot be read or is too large stops the start, by the name of the setting', async () => {
  const read = (file: string) => () =>
    readBrand({ serviceName: undefined, serviceLogo: join(folder.path, file) })
  expect(read('none.svg')).toThrow(/SERVICE_LOGO_FILE cannot be read \(ENOENT\)/)
  expect(read('large.png')).toThrow(/SERVICE_LOGO_FILE is larger than 64 KiB/)
  const plain = readBrand({ serviceName: 'Acme', serviceLogo: undefined })
  expect(plain).toEqual({ name: 'Acme', logo: undefined })
})
