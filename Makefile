# Skein (雁阵): the camera gateway of a district. `make help` lists the targets.
SHELL := /bin/bash
CACHE := $(or $(SKEIN_CACHE),$(HOME)/.cache/skein)
export PATH := $(CACHE)/bin:$(PATH):/usr/sbin:/sbin
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
WEB := gateway/web
WEB_SOURCES := $(shell find $(WEB)/src $(WEB)/public $(WEB)/index.html $(WEB)/package-lock.json $(WEB)/vite.config.ts 2>/dev/null)
GO_SOURCES := $(shell git ls-files -co --exclude-standard '*.go' 2>/dev/null) go.mod go.sum

.DEFAULT_GOAL := help
.PHONY: help demo build web test test-go test-web race lint fuzz bench soak clean tools-demo tools-test tools-lint

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: tools-demo bin/skein ## build, then run the whole of Yanfeng on this machine: simulated cameras, recording, console
	./bin/skein demo $(DEMO_ARGS)

build: tools-demo bin/skein ## build the console and bin/skein

bin/skein: $(GO_SOURCES) $(WEB)/dist/index.html
	@mkdir -p bin
	@echo 'building bin/skein: about three minutes the first time on two cores, then seconds'
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o $@ .

web: $(WEB)/dist/index.html ## build the console

$(WEB)/node_modules/.package-lock.json: $(WEB)/package.json $(WEB)/package-lock.json
	cd $(WEB) && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

$(WEB)/dist/index.html: $(WEB)/node_modules/.package-lock.json $(WEB_SOURCES)
	cd $(WEB) && npm run --silent build
	@touch $@

test: tools-test bin/skein test-web test-go ## run every test, with real MinIO, Redis, ffmpeg and Chromium

test-go: bin/skein ## run the Go tests with the race detector
	SKEIN_REQUIRE_TOOLS=1 SKEIN_BIN=$(CURDIR)/bin/skein go test -race -timeout 20m ./...

test-web: $(WEB)/node_modules/.package-lock.json ## run the console's unit tests
	cd $(WEB) && npm test --silent

race: test-go ## the same as test-go

lint: tools-lint $(WEB)/node_modules/.package-lock.json ## lint Go and TypeScript, check go.mod and formatting
	golangci-lint run ./...
	cd $(WEB) && npm run --silent lint
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo 'not formatted:'; gofmt -l $$(git ls-files '*.go'); exit 1; }
	go mod tidy -diff

fuzz: ## fuzz every parser for FUZZTIME each (default 20s)
	@for p in $$(go list ./...); do \
	  for f in $$(go test -list '^Fuzz' $$p 2>/dev/null | grep '^Fuzz'); do \
	    echo "== $$p $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(or $(FUZZTIME),20s) $$p || exit 1; \
	  done; \
	done

bench: bin/skein ## measure what the product promises and print a table (BENCH_ARGS for the rest)
	go run ./bench $(BENCH_ARGS)

soak: tools-test bin/skein ## kill, cut and fill for SKEIN_SOAK (default 2h), then prove that nothing was lost and the console did not grow
	SKEIN_REQUIRE_TOOLS=1 SKEIN_BIN=$(CURDIR)/bin/skein SKEIN_SOAK=$(or $(SKEIN_SOAK),2h) \
	  go test -run '^(TestNothingIsLostThroughFaults|TestConsoleDoesNotGrow)$$' -v -count=1 -timeout 48h .

clean: ## remove what was built
	rm -rf bin $(WEB)/node_modules
	find $(WEB)/dist -mindepth 1 ! -name .keep -delete 2>/dev/null || true

tools-demo tools-test tools-lint: tools-%:
	@deploy/tools.sh $*
