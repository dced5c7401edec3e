# The sidecar as an image: `docker build -t cfw-job-poller .`

FROM node:26-slim AS build
WORKDIR /build
COPY package.json package-lock.json ./
# No package needs its install script; what is not run can do no harm.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY scripts ./scripts
COPY src ./src
RUN npm run build

FROM node:26-slim AS dependencies
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund

# What runs the sidecar: Debian with its security updates and Node, without package managers and what compilers need. Debian's
# list of packages stays, for scanners.
FROM node:26-slim AS runtime
RUN rm -rf /opt/yarn* /usr/local/include /usr/local/lib/node_modules /usr/local/share \
    /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/yarn /usr/local/bin/yarnpkg /usr/local/bin/corepack \
    /etc/apt /usr/bin/apt* /usr/lib/apt /usr/bin/dpkg* /var/cache/apt /var/lib/apt

# One layer, in which what was removed takes no space.
FROM scratch AS sidecar
COPY --from=runtime / /
ENV PATH=/usr/local/bin:/usr/bin:/bin
ENV NODE_ENV=production
# Without the first, Node lets garbage pile up to several hundred MB before it looks; 100,000 jobs in flight need 50. With
# more than the second, V8 would not give memory back after a burst.
ENV NODE_OPTIONS="--max-old-space-size=192 --max-semi-space-size=16"
ENV NODE_COMPILE_CACHE=/app/compile-cache
WORKDIR /app
COPY --from=dependencies /build/node_modules ./node_modules
COPY --from=build /build/dist/cli.js ./dist/
COPY --from=build /build/dist/bundle ./dist/bundle
COPY --from=build /build/dist/traced ./dist/traced
# It says that these are ES modules.
COPY package.json LICENSE ./

# What V8 compiles at a start, so that the start of a container need not. It is for the same path, options and user.
FROM sidecar AS compiled
RUN mkdir -m 777 compile-cache
USER node
# Without Redis it ends with an error. Files are readable for their owner only, which will be root.
RUN REDIS_URL=redis://127.0.0.1:1 CFW_ENDPOINT=http://127.0.0.1:1 CFW_PROJECT_ID=none CFW_AUTH_TOKEN=none \
      timeout -s TERM 2 node dist/cli.js start; \
    chmod -R go=rX compile-cache/*

FROM sidecar
COPY --from=compiled /app/compile-cache ./compile-cache
USER node
# HTTP listens on loopback inside the container unless HTTP_HOST says otherwise; from in here that is enough.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + (process.env.HTTP_PORT || 8080) + '/healthz').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "dist/cli.js"]
CMD ["start"]
