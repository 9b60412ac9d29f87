/** The functions of a child by name, each with one plain argument. */
// biome-ignore lint/suspicious/noExplicitAny: the one type that all lists of functions share; each child names its own
export type Calls = Readonly<Record<string, (input: any) => unknown>>

export type Call = { readonly id: number; readonly name: string; readonly input: unknown }

export type Reply =
  | { readonly id: number; readonly output: unknown }
  | { readonly id: number; readonly error: string }

const answer = async (calls: Calls, { id, name, input }: Call): Promise<Reply> => {
  try {
    return { id, output: await calls[name]?.(input) }
  } catch (error) {
    return { id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) }
  }
}

/** The child's side: serves the calls of its parent until the parent disconnects or ends, then calls `end` and exits. */
export const answerCalls = (
  calls: Calls,
  end: () => Promise<void> = async () => undefined,
): void => {
  process.on('message', (call: Call) => {
    void answer(calls, call).then((reply) => process.send?.(reply))
  })
  process.once('disconnect', () => {
    void end().finally(() => process.exit())
  })
}
