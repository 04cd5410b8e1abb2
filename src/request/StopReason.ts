/**
 * Why an answer ended, as far as that says whether it is all that was to be said.
 */

const cuts = new Set(["max_tokens", "model_context_window_exceeded", "refusal", "pause_turn"])

/** Whether an answer stopped before its end: it was cut or refused, and would be again. @internal */
export const isIncomplete = (stopReason: string | null): stopReason is string =>
  stopReason !== null && cuts.has(stopReason)
