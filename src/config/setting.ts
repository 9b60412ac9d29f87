/** What reading one text gave: the value, or what is wrong with it. A problem never quotes the text: it may be a secret. */
export type Parsed<Value> = { readonly value: Value } | { readonly problem: string }

/** How a setting is written: the rule in words, and the function that holds texts to it. */
export type Format<Value> = {
  /** Stands in this form on the configuration page, so the words and the check come from one place. */
  readonly limits: string
  readonly parse: (text: string) => Parsed<Value>
}

/** One environment variable. `docs/reference/configuration.md` is tested against every one of them. */
export type Setting<Value> = {
  readonly name: string
  readonly meaning: string
  readonly format: Format<Value>
  /** The value when the variable is unset or empty. */
  readonly fallback: Value
  /** For the page, when the fallback itself does not say it: it is computed, a list, or nothing. */
  readonly defaultText?: string
  readonly whyThisDefault: string
  /** True: with NODE_ENV=production there is no default, and an unset variable stops the start. */
  readonly isDemandedInProduction?: boolean
}

/** The default as the configuration page writes it. */
export const defaultTextOf = (setting: Setting<unknown>): string =>
  setting.defaultText ?? String(setting.fallback)
