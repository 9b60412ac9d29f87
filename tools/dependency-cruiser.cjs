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
  'refresh',
  'cookie-sessions',
  'accounts',
  'login',
  'oauth',
  'forward-auth',
  'admin',
  'health',
]
// The files of a feature that may speak HTTP: its routes and pages, and what they read and set.
const edge = [
  '/(index|routes|schemas|cookies)[.]ts$',
  '-(routes|schemas)[.]ts$',
  '^src/forward-auth/(form-token|login-form|login-page|logout-page|way-back)[.]ts$',
  '^src/keys/jwks[.]ts$',
  '^src/oauth/(introspect-token|metadata|revoke-token|token)[.]ts$',
  '^src/sessions/responses[.]ts$',
]

// A store: the port, and its adapter for Postgres, Redis or a hash library.
const store =
  '/((postgres|redis|argon2)-[^/]+|[^/]+-(store|log|cache|trail|notifier|activity))[.]ts$'

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
      comment: 'Only the edge and the stores of a feature touch HTTP or I/O.',
      severity: 'error',
      from: { path: anyFeature, pathNot: [...edge, store] },
      to: { path: '^src/(http|infra|config)/' },
    },
    {
      name: 'use-cases-name-the-port',
      comment:
        'A use case imports the type of a store; src/core.ts and src/wiring.ts make the adapter.',
      severity: 'error',
      from: {
        path: anyFeature,
        // These put a store together with what keeps it.
        pathNot: ['/index[.]ts$', store, '/(limits|hash-queue|session-data)[.]ts$'],
      },
      to: { path: store, dependencyTypesNot: ['type-only'] },
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
      name: 'ground-floor-rooms-stand-apart',
      comment:
        'The edge knows no machine, a machine no setting: src/core.ts and src/wiring.ts hand over what each needs.',
      severity: 'error',
      from: { path: '^src/(infra|http|config)/' },
      to: { path: '^src/(infra|http|config)/', pathNot: '^src/$1/' },
    },
    {
      name: 'features-know-no-root',
      comment: 'The roots put features together, so a feature that imports one imports them all.',
      severity: 'error',
      from: { path: anyFeature },
      to: { path: ['^src/cli/', '^src/[^/]+[.]ts$'] },
    },
    {
      name: 'commands-are-entered-by-main',
      comment: 'The service runs without its command line.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/cli/' },
      to: { path: '^src/cli/' },
    },
    {
      name: 'nobody-imports-an-entry-point',
      severity: 'error',
      // What npm links as the command of a clone.
      from: { pathNot: '^tools/cardea[.]js$' },
      to: { path: '^src/(main|cli/main)[.]ts$' },
    },
    door('pg-in-stores', 'node_modules/(@types/)?pg/', ['^src/infra/']),
    // Of the roots, those that open the database, bring its schema up to date, or put its failures into words.
    door('sql-in-stores', '^src/infra/postgres/', [
      '^src/infra/',
      store,
      '^src/(core|data-loss|schema|explain-failure)[.]ts$',
      '^src/cli/',
    ]),
    door('ioredis-in-stores', 'node_modules/(ioredis|rate-limiter-flexible)/', [
      '^src/infra/',
      '/redis-[^/]+[.]ts$',
    ]),
    door('redis-in-stores', '^src/infra/redis/', [
      '^src/infra/',
      store,
      '^src/(core|explain-failure)[.]ts$',
      '^src/cli/',
    ]),
    door('commander-on-the-command-line', 'node_modules/commander/', ['^src/cli/']),
    door('fastify-at-the-edge', 'node_modules/(fastify|@fastify)/', ['^src/http/', ...edge]),
    door('jose-in-keys-and-tokens', 'node_modules/jose/', ['^src/(keys|tokens)/']),
    door('argon2-behind-its-port', 'node_modules/(@node-rs/)?argon2/', ['/argon2-[^/]+[.]ts$']),
    {
      name: 'verifier-is-used-only-by-revocation-and-for-cookies-and-origins',
      comment:
        'The service holds the same replica as everyone else, and reads cookies and judges origins as everyone else does, from the same code.',
      severity: 'error',
      from: {
        path: '^src/',
        pathNot:
          '^src/(revocation/|(http/(browser-requests|request-checks)|config/addresses)[.]ts$)',
      },
      to: { path: '^packages/verifier/' },
    },
    {
      name: 'verifier-is-entered-by-its-public-doors',
      severity: 'error',
      from: { path: '^src/' },
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
    door(
      'embedded-stores-are-opened-with-the-stores',
      '^packages/embedded-stores/src/index[.]ts$',
      ['^src/store-credentials[.]ts$'],
    ),
    {
      name: 'embedded-stores-are-loaded-on-demand',
      comment: 'A production process loads no file of them; a type is no file at run time.',
      severity: 'error',
      from: { path: '^src/' },
      to: {
        path: '^packages/embedded-stores/src/index[.]ts$',
        dynamic: false,
        dependencyTypesNot: ['type-only'],
      },
    },
    {
      name: 'embedded-stores-are-entered-by-index',
      severity: 'error',
      from: { path: '^src/' },
      to: {
        path: '^packages/embedded-stores/',
        pathNot: '^packages/embedded-stores/src/index[.]ts$',
      },
    },
    {
      name: 'embedded-stores-stand-alone',
      severity: 'error',
      from: { path: '^packages/embedded-stores/src/' },
      to: { path: '^(src|migrations|packages/verifier)/' },
    },
    {
      name: 'only-the-product-in-the-product',
      severity: 'error',
      from: { path: '^(src|packages/[^/]+/src)/' },
      to: { path: '^(test|bench|tools|packages/[^/]+/test)/' },
    },
    {
      name: 'only-production-dependencies-in-the-product',
      comment:
        'What is missing from `npm ci --omit=dev` fails in the image, at the first request that needs it.',
      severity: 'error',
      from: { path: '^(src|packages/[^/]+/src)/' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg'] },
    },
    {
      name: 'everything-resolves',
      comment: 'An import that the tool cannot follow is one that no rule looks at.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
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
    // What was built from these sources: it is there or not, and says nothing new.
    exclude: { path: '^packages/[^/]+/dist/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
      extensions: ['.ts', '.js', '.json'],
    },
  },
}
