import { failedLoginLimit, parseEmail } from '../accounts/index.ts'
import type { Attempt, LogInInput } from './attempt.ts'
import type { DeviceTokens } from './device-token.ts'

/** @throws invalid_email */
export const attemptOf = (
  devices: Pick<DeviceTokens, 'read'>,
  input: Pick<LogInInput, 'email' | 'password' | 'client' | 'deviceToken'>,
  sessionId?: string,
): Attempt => {
  const identity = parseEmail(input.email)
  const { password, client, deviceToken } = input
  const deviceId = deviceToken ? devices.read(deviceToken, identity.canonical) : undefined
  return {
    identity,
    password,
    client,
    sessionId,
    deviceId,
    failureLimit: failedLoginLimit(deviceId !== undefined),
  }
}
