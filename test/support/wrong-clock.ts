/**
 * For `node --import`: sets the wall clock of one process, which no process can do with the machine's. `WRONG_CLOCK_MS` says by how much
 * it is ahead; a message `{wrongClockMs}` of the parent sets it anew. `performance.now()` stays as it is.
 */

const environment = Number(process.env['WRONG_CLOCK_MS'] ?? 0)
let aheadMs = environment
const RealDate = Date
const realNow = RealDate.now

RealDate.now = () => realNow() + aheadMs
globalThis.Date = new Proxy(RealDate, {
  construct: (target, given: ConstructorParameters<DateConstructor> | []) =>
    given.length === 0 ? new target(target.now()) : new target(...given),
})

process.on('message', (message) => {
  if (typeof message !== 'object' || message === null || !('wrongClockMs' in message)) return
  aheadMs = Number(message.wrongClockMs)
})
// Listening must not keep alive what would have ended.
process.channel?.unref()
