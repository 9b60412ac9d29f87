import type { Answer } from './client.ts'

/** As a client that obeys Retry-After, only faster: on a busy machine a store that is back may still be too slow for the first. */
export const retryWhileAway = async (send: () => Promise<Answer>): Promise<Answer> => {
  for (let attempt = 0; attempt < 20; attempt += 1) {
    const answer = await send()
    if (answer.status !== 503) return answer
  }
  return await send()
}
