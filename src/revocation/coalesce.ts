import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises'

/**
 * Lets one run of `work` answer everyone who asked before it began; one run at a time. A question that comes while a run is under
 * way is part of the next, so no answer is older than its question.
 * @param apartMs the least time from the beginning of a run to that of the next, milliseconds
 */
export const coalesce = <Question, Answer>(
  work: (questions: readonly Question[]) => Promise<Answer>,
  apartMs: number,
): ((question: Question) => Promise<Answer>) => {
  type Round = { readonly questions: Question[]; readonly answer: Promise<Answer> }
  let gathering: Round | undefined
  let free: Promise<unknown> = Promise.resolve()

  const open = (question: Question): Round => {
    const questions = [question]
    const previous = free
    let apart: Promise<unknown> | undefined
    const run = async (): Promise<Answer> => {
      await previous
      // Many sockets become readable in one turn of the event loop: whoever asks in this one comes along.
      await nextTurn()
      gathering = undefined
      apart = pause(apartMs, undefined, { ref: false })
      return work(questions)
    }
    const answer = run()
    free = answer.then(
      () => apart,
      () => apart,
    )
    return { questions, answer }
  }

  return (question) => {
    if (gathering) gathering.questions.push(question)
    else gathering = open(question)
    return gathering.answer
  }
}
