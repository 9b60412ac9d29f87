import type { Signing, SigningCalls } from '../children/signing.ts'
import { detailOf } from '../measured.ts'
import { alternate, type Side } from '../rounds.ts'
import { comparison, perSecond } from '../row.ts'
import type { Scenario } from '../scenario.ts'

/** A whole access token (ES256), compared with the signature alone and with the same token made by `jose`. */
export const sign: Scenario = {
  name: 'sign',
  run: async (stage) => {
    const child = stage.child<SigningCalls>('signing')
    const by =
      (how: Signing): Side =>
      async (seconds) =>
        await child.call('run', { how, seconds })
    // One core and no waiting: short rounds are steady enough.
    const seconds = stage.seconds / 4
    const bare = await alternate({ ours: by('mint'), limit: by('node:crypto') }, seconds)
    const jose = await alternate({ ours: by('mint'), limit: by('jose') }, seconds)
    await child.end()
    return {
      rows: [
        comparison(
          { what: 'access token / node:crypto signature alone', unit: '/s' },
          perSecond,
          bare,
        ),
        comparison({ what: 'access token / jose SignJWT', unit: '/s' }, perSecond, jose),
      ],
      details: [
        // For both comparisons, so that each is beside rounds of the same minute.
        detailOf('access token, beside node:crypto', bare.ours),
        detailOf('node:crypto signature alone', bare.limit),
        detailOf('access token, beside jose', jose.ours),
        detailOf('jose SignJWT', jose.limit),
      ],
    }
  },
}
