import { loginSettings } from './login-settings.ts'
import { serverSettings } from './server-settings.ts'
import type { Setting } from './setting.ts'
import { storeSettings } from './store-settings.ts'
import { tokenSettings } from './token-settings.ts'

/** Every variable by its field in the configuration, in the order of the configuration page and of `.env.example`. */
export const settings = {
  ...serverSettings,
  ...storeSettings,
  ...tokenSettings,
  ...loginSettings,
}

export const allSettings: readonly Setting<unknown>[] = Object.values(settings)
