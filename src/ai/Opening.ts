/**
 * What a stream is asked under: provided as it is opened, up to its first read, and not to each of the others, which
 * would cost more than the read itself.
 */
import * as Channel from "effect/Channel"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

/** Opens a stream under what `provide` provides. @internal */
export const under = <A, E, R>(
  stream: Stream.Stream<A, E, R>,
  provide: <B, F, S>(opening: Effect.Effect<B, F, S>) => Effect.Effect<B, F, S>
): Stream.Stream<A, E, R> =>
  Stream.fromChannel(
    Channel.fromTransform((_upstream, scope) =>
      Effect.map(provide(Channel.toPullScoped(stream.channel, scope)), (pull) => {
        let isOpen = false
        // Some streams are opened by their first read.
        const opening = Effect.map(provide(pull), (first) => {
          isOpen = true
          return first
        })
        return Effect.suspend(() => isOpen ? pull : opening)
      })
    )
  )
