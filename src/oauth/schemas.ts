import { type Static, Type } from 'typebox'

export const metadata = Type.Object({
  issuer: Type.String({ description: 'The `iss` of every token, byte for byte' }),
  jwks_uri: Type.String(),
  response_types_supported: Type.Array(Type.String()),
  grant_types_supported: Type.Array(Type.String()),
})

export type Metadata = Static<typeof metadata>

export const metadataSchema = {
  summary: 'Authorization server metadata (RFC 8414)',
  response: { 200: metadata },
}
