# Evertoken. `make help` lists the targets; `make check` is what CI runs.

GO       ?= go
ARGS     ?=
FUZZTIME ?= 30s
TESTFLAGS ?=
SYSTEMS  := linux darwin windows freebsd

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0
CYCLONEDX   := github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0

# Go keeps its caches below HOME; without a usable HOME they go into the tree.
ifeq ($(and $(HOME),$(wildcard $(HOME)/.)),)
export HOME       := $(CURDIR)/.home
export GOPATH     := $(HOME)/go
export GOCACHE    := $(HOME)/cache
endif

# No test may reach the keyring of the person who runs it.
export DBUS_SESSION_BUS_ADDRESS := disabled:

.PHONY: demo torture sim mutants fleet fleet-quick mcp-compare build test resting examples test-real compiler check fmt vet lint licences sbom vuln api rooms cross fuzz bench bench-check conformance tidy clean help

demo: ## watch a session stay alive (ARGS="--for 20s" for less)
	@$(GO) run ./cmd/evertoken demo $(ARGS)

torture: ## kill -9, full disks, moved clocks: count what is lost (ARGS="-quick")
	@$(GO) run ./torture $(ARGS)

# Some 270 session-years for each 10,000 seeds. MODES="store put back,crash" plays kinds
# of trouble that are off in the tests, and SEED=n one history with all that happens in it.
SEEDS ?= 10000

sim: ## play simulated histories, and count what is lost (SEEDS=1000, MODES=, SEED=)
	$(GO) test ./internal/sim -run 'TestManySeeds|TestOneSeed$$' -count=1 -v -timeout 4h \
		-args $(if $(SEED),-seed $(SEED),-seeds $(SEEDS)) $(if $(MODES),-modes '$(MODES)')

mutants: ## make small mistakes in the code, and list those that no test notices (ARGS="-count 20 -seed 1")
	@$(GO) run ./internal/mutants $(ARGS)

fleet: ## hosts that share sessions in Redis and PostgreSQL while everything between them fails (ARGS="-quick")
	./fleet/setup.sh
	cd fleet && $(GO) run . $(ARGS)

fleet-quick: ## the same with few sessions, in two minutes
	$(MAKE) fleet ARGS=-quick

# Without C on Linux: loading its library takes a fifth of the time of "evertoken
# token". Elsewhere C is not what names are resolved with, or the keyring needs it.
build: ## build the evertoken command into bin/
	$(if $(filter linux,$(shell $(GO) env GOOS)),CGO_ENABLED=0) $(GO) build -o bin/evertoken ./cmd/evertoken

# A busy machine may need longer than go test's ten minutes, although the tests wait for
# nothing but the processor.
TIMEOUT := -timeout 40m

# What reads sources shows the race detector nothing, and takes several times as long under it.
PLAIN := /internal/(api|licences|mutants|rooms|rules)(/|$$)

# The longest come first, so that no processor waits for them at the end.
test: compiler ## run all tests, nearly all of them with the race detector
	$(GO) test -race $(TIMEOUT) $(TESTFLAGS) ./refresh ./cmd/evertoken $$($(GO) list ./... | grep -vE '$(PLAIN)')
	$(GO) test $(TIMEOUT) $(TESTFLAGS) $$($(GO) list ./... | grep -E '$(PLAIN)')
	cd mcp && $(GO) test -race $(TIMEOUT) $(TESTFLAGS) ./...

# Without the race detector, which has seen the same code in "test" and takes four times as long.
resting: ## run refresh's tests with sessions that rest whenever they can
	$(GO) test $(TIMEOUT) $(TESTFLAGS) ./refresh -args -resting

examples: compiler ## test the examples that are modules of their own
	cd examples/grpc && $(GO) test -race $(TIMEOUT) $(TESTFLAGS) ./...
	cd examples/libraries && $(GO) test -race $(TIMEOUT) $(TESTFLAGS) ./...

# What only tests with the tag "real" cover: a real keyring, real Redis
# and PostgreSQL servers, and Windows under Wine.
REAL := ./tokenstore/keyring ./tokenstore/redisstore

test-real: compiler ## test with a real OS keyring, Redis and PostgreSQL, and as Windows programs (installs what it needs)
	./tokenstore/keyring/setup.sh
	./tokenstore/redisstore/setup.sh
	$(GO) vet -tags real $(REAL) ./cmd/evertoken
	$(GO) test -race $(TIMEOUT) -count=1 -tags real $(TESTFLAGS) $(REAL)
	$(GO) test -race $(TIMEOUT) -count=1 -tags real -run Real $(TESTFLAGS) ./cmd/evertoken
	./tokenstore/sqlstore/setup.sh
	cd tokenstore/sqlstore/drivertest && $(GO) test -race $(TIMEOUT) -count=1 -tags real $(TESTFLAGS) ./...
	GOOS=windows $(GO) vet -tags real ./tokenstore/...
	./internal/wine/test.sh $(TIMEOUT) -tags real $(TESTFLAGS) ./tokenstore ./tokenstore/keyring

# The race detector links with C.
compiler:
	@command -v $${CC:-cc} >/dev/null || command -v gcc >/dev/null || { \
		[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev; } || \
		{ echo "the race detector needs a C compiler: install gcc or clang"; exit 1; }

check: fmt vet lint licences vuln api test resting examples cross conformance test-real fleet-quick ## run what CI runs
	$(MAKE) fuzz FUZZTIME=5000x

fmt: ## fail if a file is not formatted
	@out=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$out" ] || { echo "run gofmt -w on:"; echo "$$out"; exit 1; }

vet: ## vet every module, and run the tests of bench and fleet
	$(GO) vet ./...
	cd conformance && $(GO) vet ./...
	cd conformance/fosite && $(GO) vet ./...
	cd conformance/ginjwt && $(GO) vet ./...
	cd conformance/ginjwt30 && $(GO) vet ./...
	cd conformance/kratos && $(GO) vet ./...
	cd conformance/mcp && $(GO) vet ./...
	cd mcp && $(GO) vet ./...
	cd examples/grpc && $(GO) vet ./...
	cd examples/libraries && $(GO) vet ./...
	cd bench && $(GO) vet ./... && $(GO) test $(TIMEOUT) ./...
	cd tokenstore/sqlstore/drivertest && $(GO) vet -tags real ./...
	cd fleet && $(GO) vet ./... && $(GO) test $(TIMEOUT) ./...

# The modules beside the root module.
MODULES := bench conformance conformance/fosite conformance/ginjwt conformance/ginjwt30 conformance/kratos conformance/mcp examples/grpc examples/libraries fleet mcp tokenstore/sqlstore/drivertest

lint: ## staticcheck for every module, and rules of our own
	$(GO) run $(STATICCHECK) ./...
	$(GO) run $(STATICCHECK) -tags real ./tokenstore/...
	@for module in $(MODULES); do echo "$$module"; \
		(cd $$module && $(GO) run $(STATICCHECK) -tags real ./...) || exit 1; done
	$(GO) run ./internal/rules
	@! git grep -nE '(clk|[Cc]lock)\.With(Timeout|Deadline)' -- '*.go' || \
		{ echo "deadlines of I/O come from package context: a fake clock's lie in 1970"; exit 1; }

licences: ## fail if a dependency, its version or its licence differs from docs/licences.md, or is not allowed (UPDATE=1 writes it)
	$(GO) run ./internal/licences $(if $(UPDATE),-update)

# The tool finds the modules, in the command by what its binary says of itself; their
# licences are ours, which are read from more files.
sbom: build ## write bin/evertoken.cdx.json and bin/packages.cdx.json: what the command and the module consist of (CycloneDX)
	$(GO) run $(CYCLONEDX) bin -json -std -version "$$(git describe --tags --always)" -output bin/evertoken.cdx.json bin/evertoken
	$(GO) run $(CYCLONEDX) mod -json -output bin/packages.cdx.json .
	$(GO) run ./internal/licences -sbom bin/evertoken.cdx.json -sbom bin/packages.cdx.json

# Without its database the tool finds nothing and says so; that fails no build.
vuln: ## look for calls of functions with known vulnerabilities, if the database can be reached (VULNDB=URL for another)
	@for module in . $(MODULES); do \
		if said=$$(cd $$module && $(GO) run $(GOVULNCHECK) $(if $(VULNDB),-db $(VULNDB)) -test ./... 2>&1); then echo "$$module: none known"; continue; fi; \
		case "$$said" in *"fetching vulnerabilities: "*) \
			echo "vulnerabilities were not looked for: the database cannot be reached:"; echo "$$said" | grep fetching; exit 0;; esac; \
		echo "$$module:"; echo "$$said"; exit 1; \
	done

api: ## fail if exported names differ from api/*.txt (UPDATE=1 writes them)
	$(GO) test ./internal/api $(if $(UPDATE),-args -update)

rooms: ## list how many files of each package use each other in a loop, and what one refresh runs through
	$(GO) run ./internal/rooms -v
	$(GO) run ./internal/rooms -refresh

cross: ## build and vet for every system we claim
	@for os in $(SYSTEMS); do echo "$$os"; \
		GOOS=$$os CGO_ENABLED=0 $(GO) build ./... && GOOS=$$os CGO_ENABLED=0 $(GO) vet ./... || exit 1; done

# A count, unlike a time, cannot end in the middle of minimizing an input, which
# Go reports as a failure.
fuzz: ## fuzz each target for FUZZTIME (30s, or 5000x)
	@for module in . examples/grpc; do \
		cd "$(CURDIR)/$$module" || exit 1; \
		for pkg in $$($(GO) list ./...); do \
			for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
				echo "$$pkg $$target"; \
				$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg || exit 1; \
			done; \
		done; \
	done

bench: ## compare with other libraries: write bench/results.json and the table in docs/performance.md
	cd bench && $(GO) run ./ratio

bench-check: ## fail if a ratio is worse by a quarter than in bench/results.json
	cd bench && $(GO) run ./ratio -check

# Without a list of packages go shows what passing tests print: the table.
conformance: compiler ## real browser, real authorization servers (installs what it needs)
	./conformance/setup.sh
	cd conformance && $(GO) test -race -count=1 $(TIMEOUT) $(TESTFLAGS)
	cd conformance/kratos && $(GO) test -race -count=1 $(TIMEOUT) $(TESTFLAGS)
	cd conformance/ginjwt && $(GO) test -race -count=1 $(TIMEOUT) $(TESTFLAGS)
	cd conformance/ginjwt30 && $(GO) test -race -count=1 $(TIMEOUT) $(TESTFLAGS)
	cd conformance/mcp && $(GO) test -count=1 $(TIMEOUT) $(TESTFLAGS)
	cd conformance/mcp && $(GO) test -count=1 $(TIMEOUT) $(TESTFLAGS) ./compare

mcp-compare: ## ten bridges to an MCP server, ours and npm's mcp-remote, in every trouble: the table in docs/mcp.md (ARGS="-quick")
	./conformance/setup.sh
	cd conformance/mcp && $(GO) run ./compare $(ARGS)

tidy: ## tidy every module
	$(GO) mod tidy
	cd conformance && $(GO) mod tidy
	cd conformance/fosite && $(GO) mod tidy
	cd conformance/ginjwt && $(GO) mod tidy
	cd conformance/ginjwt30 && $(GO) mod tidy
	cd conformance/kratos && $(GO) mod tidy
	cd conformance/mcp && $(GO) mod tidy
	cd mcp && $(GO) mod tidy
	cd examples/grpc && $(GO) mod tidy
	cd examples/libraries && $(GO) mod tidy
	cd bench && $(GO) mod tidy
	cd tokenstore/sqlstore/drivertest && $(GO) mod tidy
	cd fleet && $(GO) mod tidy

clean: ## remove what was built
	if [ -d .home ]; then chmod -R u+w .home; fi
	rm -rf bin .home conformance/*/node_modules

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/' | sort
