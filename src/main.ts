import { explainFailure, failureText } from './failure.ts'
import { serve } from './serve.ts'

try {
  await serve()
} catch (error) {
  const failure = explainFailure(error)
  process.stderr.write(failureText(failure))
  process.exitCode = failure.exitCode
}
