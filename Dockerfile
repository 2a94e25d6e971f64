# Drawbridge with everything that it needs at run time. `docker run` without more is one whole bridge (`up`), with a
# Redis of its own; docker-compose.yml runs gateway and workers apart.

FROM node:24-bookworm-slim AS build
WORKDIR /app
# Dependencies first: their layer stays until the lock file changes.
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json tsconfig.build.json ./
COPY scripts scripts
COPY src src
COPY workers workers
RUN node scripts/setup.mjs && npm prune --omit=dev

FROM node:24-bookworm-slim
RUN apt-get update \
  && apt-get install -y --no-install-recommends redis-server \
  && rm -rf /var/lib/apt/lists/* \
  && install -d -o node -g node -m 0700 /data
WORKDIR /app
COPY package.json package-lock.json ./
COPY scripts scripts
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
ENV NODE_ENV=production \
  DRAWBRIDGE_CONFIG=/data/drawbridge.yaml
USER node
VOLUME /data
# C-STORE and C-ECHO; the API for other bridges; the dashboard.
EXPOSE 11112 8443 8080
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=4 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8080/healthz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# By itself: its first line says how Node is to run it.
ENTRYPOINT ["/app/scripts/drawbridge.mjs"]
CMD ["up"]
