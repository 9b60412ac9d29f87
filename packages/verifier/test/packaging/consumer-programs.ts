/** What a consumer runs, in the folder where the package is installed: every door by name, and a token verified with them. */
const doors = ['express', 'fastify', 'fetch', 'replica', 'wire']

const verify = `
const main = async () => {
  const [issuer, audience, id, secret, token, key, sealed] = process.argv.slice(2)
  const verifier = createVerifier({ issuer, audience, client: { id, secret }, sealed: { keys: [key] } })
  await verifier.ready()
  const { sub } = await verifier.verify(token)
  const { sub: sealedSub } = await verifier.openSealed(sealed)
  const refusal = await verifier.verify(token + 'x').catch((error) => error)
  await verifier.close()
  const isVerifierError = refusal instanceof VerifierError
  const names = [${doors.join(', ')}].map((door) => Object.keys(door).toSorted())
  process.stdout.write(JSON.stringify({ sub, sealedSub, isVerifierError, names }))
}
void main()
`

const importDoors = doors.map((name) => `import * as ${name} from '@cardea/verifier/${name}'`)
const requireDoors = doors.map((name) => `const ${name} = require('@cardea/verifier/${name}')`)

/** By the name of its file. */
export const programs = {
  'verify.mjs': `import { createVerifier, VerifierError } from '@cardea/verifier'
${importDoors.join('\n')}
${verify}`,
  'verify.cjs': `const { createVerifier, VerifierError } = require('@cardea/verifier')
${requireDoors.join('\n')}
${verify}`,
}
