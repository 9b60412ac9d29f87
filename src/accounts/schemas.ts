import { type Static, Type } from 'typebox'
import { problemResponses } from '../http/problem.ts'

export const roleSchema = Type.String({
  pattern: '^[a-z][a-z0-9_.:-]{0,63}$',
  description: 'Lower-case letters, digits and _ . : -; `operator` opens the admin API',
})

export const accountSchema = Type.Object({
  id: Type.String({ description: 'The `sub` of tokens; never used again for anyone else' }),
  email: Type.String(),
  status: Type.Union([Type.Literal('active'), Type.Literal('disabled')]),
  roles: Type.Array(Type.String()),
  created_at: Type.String({ format: 'date-time' }),
  updated_at: Type.String({ format: 'date-time' }),
})

export type AccountAnswer = Static<typeof accountSchema>

export const ownAccountSchema = {
  summary: 'Who I am',
  response: { 200: accountSchema, ...problemResponses(401, 404, 503) },
}
