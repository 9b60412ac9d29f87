/**
 * How long a test waits for what must happen, milliseconds. It ends a test that waits in vain, and proves nothing: a machine that is
 * many times slower than ours passes, so no test names a shorter time of its own.
 */
export const patienceMs = 120_000
