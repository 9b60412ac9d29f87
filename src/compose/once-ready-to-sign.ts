import type { SigningKeys } from '../keys/index.ts'

/**
 * Whether there is a key to sign with comes first, and throws `signing_keys_unavailable`: a refusal after a refresh token was consumed
 * would end in a retry that looks like theft.
 */
export const onceReadyToSign =
  <Input extends readonly unknown[], Output>(
    { readyToSign }: Pick<SigningKeys, 'readyToSign'>,
    act: (...input: Input) => Output | Promise<Output>,
  ) =>
  async (...input: Input): Promise<Output> => {
    await readyToSign()
    return act(...input)
  }
