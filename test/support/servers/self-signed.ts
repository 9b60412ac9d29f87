import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

export type KeyPair = {
  readonly keyPath: string
  readonly certificatePath: string
  readonly key: Buffer
  readonly cert: Buffer
}

/** A key and a certificate for 127.0.0.1 that nobody else has signed, as files in this folder. */
export const selfSigned = async (folder: string): Promise<KeyPair> => {
  const [keyPath, certificatePath] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')]
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  const name = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1', '-days', '2']
  const files = ['-keyout', keyPath, '-out', certificatePath]
  await promisify(execFile)('openssl', ['req', ...kind, ...name, ...files])
  const [key, cert] = [await readFile(keyPath), await readFile(certificatePath)]
  return { keyPath, certificatePath, key, cert }
}
