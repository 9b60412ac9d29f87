import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { findOpenssl } from '../support/programs/find-openssl.ts'

const run = promisify(execFile)

/** Files in PEM. */
export type Certificates = {
  /** Of the authority, for `NODE_EXTRA_CA_CERTS` and `sslrootcert`. */
  readonly authority: string
  /** Of the server, signed by it and made out to `localhost` alone: not to an address. */
  readonly certificate: string
  readonly key: string
}

const configuration = `
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[server]
subjectAltName = DNS:localhost
`

const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

/** An authority that nobody trusts and a server of its own, both for a day, in a new folder. */
export const newCertificates = async (folder: string): Promise<Certificates> => {
  await mkdir(folder)
  const { path, env } = await findOpenssl()
  const openssl = (...args: string[]) => run(path, args, { env, cwd: folder })
  await writeFile(join(folder, 'cnf'), configuration)
  const request = ['req', '-new', '-config', 'cnf', ...curve]
  const authority = [
    '-x509',
    '-days',
    '1',
    '-extensions',
    'authority',
    '-subj',
    '/CN=Test authority',
  ]
  await openssl(...request, ...authority, '-keyout', 'authority.key', '-out', 'authority.pem')
  await openssl(
    ...request,
    '-subj',
    '/CN=Test server',
    '-keyout',
    'server.key',
    '-out',
    'server.csr',
  )
  const signed = [
    '-CA',
    'authority.pem',
    '-CAkey',
    'authority.key',
    '-CAcreateserial',
    '-days',
    '1',
  ]
  const extensions = ['-extfile', 'cnf', '-extensions', 'server']
  await openssl('x509', '-req', '-in', 'server.csr', ...signed, ...extensions, '-out', 'server.pem')
  return {
    authority: join(folder, 'authority.pem'),
    certificate: join(folder, 'server.pem'),
    key: join(folder, 'server.key'),
  }
}
