/** An id that says in a test what it stands for: up to 16 characters of ASCII. */
export const idNamed = (name: string): string => {
  const bytes = Buffer.alloc(16)
  bytes.write(name, 'latin1')
  return bytes.toString('base64url')
}

export const nameOfId = (id: string): string =>
  Buffer.from(id, 'base64url').toString('latin1').replaceAll('\0', '')
