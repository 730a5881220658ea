# Names of the npm scripts, nothing more: package.json is where each one lives.
.PHONY: help start demo test ci bench generate lint format typecheck
help: ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14
start: ## the whole system on this machine
	npm start
demo: ## one purchase against the running system
	npm run demo
test: ## type check, lint, and every test that needs nothing but npm
	npm test
ci: ## what CI runs
	bash .ci/run
bench: ## the speed goals
	npm run bench
generate: ## write the generated files anew
	npm run generate
lint: ## biome
	npm run lint
format: ## biome, writing
	npm run format
typecheck: ## tsc
	npm run typecheck
