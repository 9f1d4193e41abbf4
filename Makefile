# The door to everything. `make` alone says what there is.
SHELL := /bin/bash
# Tools that the setup script brings (CMake, Python and its packages) come first.
export PATH := $(CURDIR)/.tools/bin:$(PATH)

.PHONY: help setup build demo test endure audit bench scale release rehearse clean

help: ## say what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

setup: ## install what building needs and this machine lacks
	@scripts/setup build

build: setup ## build the release binary, target/release/assay
	cargo build --release --locked -p assay

demo: build ## simulate card payments, make features, train, and serve on port 5000
	target/release/assay demo --bind 127.0.0.1:5000

test: ## everything that CI checks
	@scripts/setup build test checks
	@scripts/test

endure: ## kills, restarts and counted requests, as often as docs/reliability.md says
	@scripts/setup build test
	scripts/endure

audit: ## licences, bans and sources of every dependency
	@scripts/setup audit
	cargo deny --locked check bans licenses sources

bench: build ## measure against the peers, and write docs/performance.md
	@scripts/setup bench
	benches/peers/run

scale: build ## hold the features of Spark and DataFusion against ours
	@scripts/setup scale
	scripts/scale

release: ## write the release of RELEASE_URL, tarball and templates, into dist/
	deploy/release --url-base "$(RELEASE_URL)" $(if $(SOURCE_LOCATION),--source-location "$(SOURCE_LOCATION)")

rehearse: ## run both AWS environments on this machine, as root
	deploy/rehearsal/run

clean: ## remove what was built here
	rm -rf target .tools demo dist .rehearsal
