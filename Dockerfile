# The image of Cardea: compiled JavaScript, production dependencies, migrations. `npm run rehearse:image` follows every step below without
# a container engine, so keep to the instructions that it knows (tools/rehearse-image/dockerfile.ts).

FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY tools/runtime ./tools/runtime
COPY packages/verifier/package.json ./packages/verifier/package.json
COPY packages/embedded-stores/package.json ./packages/embedded-stores/package.json
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
COPY packages/verifier/src ./packages/verifier/src
COPY packages/embedded-stores/src ./packages/embedded-stores/src
COPY migrations ./migrations
# Without the script before it, which installs what has just been installed.
RUN npm run build --ignore-scripts
RUN chmod 755 dist/src/cli/main.js

# No install scripts here either: argon2 brings its binaries along.
FROM node:24-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY tools/runtime ./tools/runtime
COPY packages/verifier/package.json ./packages/verifier/package.json
COPY packages/embedded-stores/package.json ./packages/embedded-stores/package.json
RUN npm ci --omit=dev --ignore-scripts

FROM node:24-slim
ENV NODE_ENV=production
# Every interface of the container; what is reachable from outside is decided where its port is published.
ENV HOST=0.0.0.0
# All threads allocate from one arena: less memory is held back for threads that no longer need it.
ENV MALLOC_ARENA_MAX=1
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY LICENSE ./
RUN ln -s /app/dist/src/cli/main.js /usr/local/bin/cardea
# Everything above belongs to root: the service can read its own code and change nothing. It writes no file.
USER node
EXPOSE 8088
# The service finishes requests under way on SIGTERM and ends with 0.
STOPSIGNAL SIGTERM
# Whether the process lives, not whether its stores do: a restart would not bring Postgres back. Orchestrators ask /health/ready for that.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 CMD ["node", "-e", "fetch('http://127.0.0.1:' + (process.env.PORT || 8088) + '/health/live').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# A small young generation, a bounded heap and lazy compilation: less than half the memory under load (docs/reference/performance.md).
CMD ["node", "--max-semi-space-size=6", "--max-old-space-size=256", "--max-lazy", "dist/src/main.js"]
