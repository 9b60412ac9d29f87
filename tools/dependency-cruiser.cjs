// Who may import whom. `npm run check:boundaries` fails on any breach.
//
// A feature may use the features that stand before it in this list, and only
// through their index.ts. Adding a feature means choosing its place here.
const features = [
  'keys',
  'audit',
  'tokens',
  'revocation',
  'sessions',
  'accounts',
  'mfa',
  'passkeys',
  'login',
  'oauth',
  'forward-auth',
  'admin',
  'health',
]
const anyFeature = `^src/(${features.join('|')})/`

const downwardOnly = features.slice(0, -1).map((feature, place) => ({
  name: `${feature}-uses-only-features-before-it`,
  severity: 'error',
  from: { path: `^src/${feature}/` },
  to: { path: `^src/(${features.slice(place + 1).join('|')})/` },
}))

// Each technology has one door. Files named after it are the only way in.
const door = (name, technology, allowedFrom) => ({
  name,
  severity: 'error',
  from: { path: '^src/', pathNot: allowedFrom },
  to: { path: technology },
})

module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    ...downwardOnly,
    {
      name: 'features-meet-at-index',
      severity: 'error',
      from: { path: '^src/([^/]+)/' },
      to: { path: anyFeature, pathNot: ['^src/$1/', '^src/[^/]+/index[.]ts$'] },
    },
    {
      name: 'roots-enter-features-by-index',
      severity: 'error',
      from: { path: '^src/[^/]+[.]ts$' },
      to: { path: anyFeature, pathNot: '^src/[^/]+/index[.]ts$' },
    },
    {
      name: 'rules-and-use-cases-stay-pure',
      comment: 'Only the edge of a feature (routes, schemas, adapters, index) touches HTTP or I/O.',
      severity: 'error',
      from: {
        path: anyFeature,
        pathNot: '/(routes|schemas|index|(postgres|redis|argon2|smtp)-[^/]+)([.]ts$|/)',
      },
      to: { path: '^src/(http|infra|config)/' },
    },
    {
      name: 'adapters-are-chosen-in-compose',
      comment: 'A use case names the port; only index.ts re-exports an adapter, for compose.ts.',
      severity: 'error',
      from: { path: anyFeature, pathNot: '/index[.]ts$' },
      to: { path: '/(postgres|redis|argon2|smtp)-[^/]+[.]ts$' },
    },
    {
      name: 'lib-is-a-leaf',
      severity: 'error',
      from: { path: '^src/lib/' },
      to: { pathNot: '^src/lib/', dependencyTypesNot: ['core'] },
    },
    {
      name: 'ground-floor-knows-no-feature',
      severity: 'error',
      from: { path: '^src/(infra|http|config|lib)/' },
      to: { path: [anyFeature, '^src/cli/', '^src/[^/]+[.]ts$'] },
    },
    {
      name: 'nobody-imports-an-entry-point',
      severity: 'error',
      from: {},
      to: { path: '^src/(main|cli/main)[.]ts$' },
    },
    door('sql-in-stores', 'node_modules/(@types/)?pg/|^src/infra/postgres', [
      '^src/infra/',
      '/postgres-[^/]+[.]ts$',
      '^src/compose[.]ts$',
      '^src/cli/',
    ]),
    door('redis-in-stores', 'node_modules/ioredis/|^src/infra/redis', [
      '^src/infra/',
      '/redis-[^/]+[.]ts$',
      '^src/compose[.]ts$',
    ]),
    door('fastify-at-the-edge', 'node_modules/(fastify|@fastify)/', [
      '^src/http/',
      '^src/app[.]ts$',
      '/(routes|schemas)([.]ts$|/)',
    ]),
    door('jose-in-keys-and-tokens', 'node_modules/jose/', ['^src/(keys|tokens)/']),
    door('argon2-behind-its-port', 'node_modules/(@node-rs/)?argon2/', ['/argon2-[^/]+[.]ts$']),
    {
      name: 'verifier-is-used-only-by-revocation',
      comment: 'The service holds the same replica as everyone else, from the same code.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/revocation/' },
      to: { path: '^packages/verifier/' },
    },
    {
      name: 'verifier-is-entered-by-its-public-doors',
      severity: 'error',
      from: { path: '^src/revocation/' },
      to: {
        path: '^packages/verifier/',
        pathNot: '^packages/verifier/src/(index|replica|wire)[.]ts$',
      },
    },
    {
      name: 'verifier-stands-alone',
      severity: 'error',
      from: { path: '^packages/verifier/src/' },
      to: { path: '^(src|test|web|migrations)/' },
    },
    {
      name: 'no-test-code-in-the-product',
      severity: 'error',
      from: { path: '^(src|packages/[^/]+/src)/' },
      to: { path: '(^|/)test/' },
    },
    {
      name: 'no-orphans',
      severity: 'error',
      from: { orphan: true, path: '^src/', pathNot: '[.]d[.]ts$' },
      to: {},
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
      extensions: ['.ts', '.js', '.json'],
    },
  },
}
