import type { SigningKeyTransaction } from './signing-key-store.ts'

/** Who may act on keys here; an operator who revokes one comes through the admin feature. */
export type KeyActor = { readonly kind: 'system' } | { readonly kind: 'command-line' }

/** What is recorded of an act on the keys. Kids are public. */
export type KeyEvent = {
  readonly event:
    | 'signing_key_added'
    | 'signing_key_rotation_planned'
    | 'signing_key_rotated'
    | 'signing_key_erased'
  readonly outcome: 'success'
  readonly actor: KeyActor
  readonly details: Readonly<Record<string, string>>
}

/** What an act on the keys reads and writes together. The trail is a later feature, so only the part that is needed is named. */
export type KeyStores = {
  readonly signingKeys: SigningKeyTransaction
  readonly audit: { readonly record: (event: KeyEvent) => Promise<void> }
}

/** One unit of work, one transaction: all of it is committed when the call resolves, none of it when it throws. */
export type InKeyTransaction = <T>(work: (stores: KeyStores) => Promise<T>) => Promise<T>
