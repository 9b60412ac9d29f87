/** A gate that opens once and stays open, or is permanently shut before that. */
export class ReadyGate {
  readonly #passed: Promise<void>
  #open: () => void = () => undefined
  #shut: (error: Error) => void = () => undefined

  constructor() {
    this.#passed = new Promise((resolve, reject) => {
      this.#open = resolve
      this.#shut = reject
    })
    // Without waiting callers the rejection must not end the process. Waiting callers get the same promise and see the error.
    this.#passed.catch(() => undefined)
  }

  /** Does nothing when it was shut before. */
  open(): void {
    this.#open()
  }

  /** Does nothing when it is open already. */
  shut(error: Error): void {
    this.#shut(error)
  }

  /** Resolves when it is open. Rejects when it was shut, or with the signal's reason when that aborts first. */
  async pass(signal?: AbortSignal): Promise<void> {
    if (!signal) return await this.#passed
    signal.throwIfAborted()
    let onAbort = (): void => undefined
    const aborted = new Promise<never>((_, reject) => {
      onAbort = () => reject(signal.reason)
    })
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      await Promise.race([this.#passed, aborted])
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }
}
