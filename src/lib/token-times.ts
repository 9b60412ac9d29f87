/**
 * What the safety of revocation rests on, each number once: entries of the log and retired keys are kept until the last token that they
 * can concern has expired by anybody's clock. The verifiers and the triggers of the database hold to the same numbers; a test compares.
 */

/**
 * The longest life of an access token. Verifiers refuse a longer one. What has to outlast tokens goes by this and not by
 * `ACCESS_TOKEN_SECONDS`: the tokens that are out may be of an instance with another setting.
 */
export const longestTokenSeconds = 900

/** By how much the clocks of verifiers may be behind. */
export const leewaySeconds = 30

/** A mint that read its facts, or took its key, before they changed may be this late by the clock of who revoked: see `TokenSubject`. */
export const mintSlackSeconds = 40
