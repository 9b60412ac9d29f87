import { registerHooks } from 'node:module'

/**
 * For `node --import`, in a process that runs a sample: the entry points of `@cardea/verifier` are its sources, so that nothing has to be
 * built. That the packed package works is tested in packages/verifier/test/packaging.
 */
registerHooks({
  resolve: (specifier, context, next) => {
    const [, entry] = /^@cardea\/verifier(?:\/(\w+))?$/.exec(specifier) ?? []
    if (!specifier.startsWith('@cardea/verifier')) return next(specifier, context)
    const source = new URL(`../../packages/verifier/src/${entry ?? 'index'}.ts`, import.meta.url)
    return next(source.href, context)
  },
})
