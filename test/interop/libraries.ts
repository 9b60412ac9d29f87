import type { SigningAlgorithm } from '../../src/keys/index.ts'
import type { LanguageName } from '../support/programs/foreign-languages.ts'
import type { ForeignProcess } from '../support/programs/foreign-process.ts'
import { type GuideFile, guidePage, runGuide } from './guide-code.ts'

/** The audience in the guide's examples, and of most tokens here. */
export const shop = 'https://shop.example.com'

/** A library of another language, as the first column of the guide's table calls it, and the guide's code for it. */
export type Library = {
  readonly library: string
  readonly language: LanguageName
  readonly driver: string
  readonly file: string
  readonly algorithmsText: string
  /** Where it says 30 seconds between two questions because of unknown kids. */
  readonly cooldownText: string
}

export const libraries: readonly Library[] = [
  {
    library: 'Python, PyJWT',
    language: 'python',
    driver: 'verify.py',
    file: 'cardea_tokens.py',
    algorithmsText: '"ES256"',
    cooldownText: '30 if self.keys',
  },
  {
    library: 'Perl, Crypt::JWT',
    language: 'perl',
    driver: 'verify.pl',
    file: 'CardeaTokens.pm',
    algorithmsText: "'ES256'",
    cooldownText: '$keys ? 30',
  },
  {
    library: 'Ruby, jwt',
    language: 'ruby',
    driver: 'verify.rb',
    file: 'cardea_tokens.rb',
    algorithmsText: '"ES256"',
    cooldownText: '@keys ? 30',
  },
  {
    library: 'Go, golang-jwt',
    language: 'go',
    driver: 'verify.go',
    file: 'cardeatokens/tokens.go',
    algorithmsText: '"ES256"',
    cooldownText: 'cooldown := 30 *',
  },
]

type Changes = {
  readonly algorithm?: SigningAlgorithm
  /** Of questions because of unknown kids, once there are keys. */
  readonly cooldownSeconds?: number
}

/** The guide's code with the addresses of the test; with Ed25519 also the lines that the guide adds for it. */
export const startVerifier = async (
  { language, driver, file, algorithmsText, cooldownText }: Library,
  issuer: string,
  { algorithm = 'ES256', cooldownSeconds = 30 }: Changes = {},
): Promise<ForeignProcess> => {
  const code: GuideFile = {
    page: guidePage,
    name: file,
    replace: {
      'https://auth.example.com': issuer,
      [algorithmsText]: algorithmsText.replace('ES256', algorithm),
      [cooldownText]: cooldownText.replace('30', String(cooldownSeconds)),
    },
  }
  const isEd25519InPython = algorithm === 'Ed25519' && language === 'python'
  return await runGuide(
    language,
    driver,
    isEd25519InPython
      ? [
          { ...code, before: 'import cardea_ed25519\n' },
          { page: guidePage, name: 'cardea_ed25519.py' },
        ]
      : [code],
  )
}
