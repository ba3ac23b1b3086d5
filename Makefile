# What can be done here: make help
SHELL := /bin/sh
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
BIN     := bin
CLUSTER := $(BIN)/cluster
TOOL    := go tool -modfile=hack/tools/go.mod
PRODUCT := ./api/... ./config/... ./controllers/... ./internal/...
# Integration tests. They wait more than they work, so several run at a time: of the short ones four packages, of
# the long ones four specs, each process with an API server of its own.
LONG    := ./test/integration/agent ./test/integration/controllers
SHORT   := $(filter-out $(LONG),$(wildcard ./test/integration/*))
GINKGO  := go run github.com/onsi/ginkgo/v2/ginkgo --procs 4 --keep-going --no-color
# Tests that run the manager build it. To compile all of it anew, by its profile, can take longer than a test may.
WARM    := go build -o /dev/null .
# How long fuzzing and benchmarks run per target.
FUZZTIME ?= 30s

.PHONY: help
help: ## Show this help.
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ See it work

.PHONY: demo
demo: $(CLUSTER) ## Walk through the loop on a real cluster on this machine (root). DEMO=once also takes it down again.
	@hack/demo.sh $(DEMO)

.PHONY: cluster-up
cluster-up: $(CLUSTER) ## Bring a local cluster up, with Bulkhead installed (root).
	@hack/up.sh

.PHONY: cluster-down
cluster-down: $(CLUSTER) ## Take the local cluster down and leave nothing behind (root).
	@$(CLUSTER) down

##@ Build

.PHONY: build
build: ## Build the binary for this machine.
	CGO_ENABLED=0 go build -trimpath -ldflags "-X github.com/bulkhead-dev/bulkhead/internal/cmd.Version=$(VERSION)" -o $(BIN)/bulkhead .

.PHONY: image
image: ## Build the image from the Dockerfile, without a daemon or a registry, as $(BIN)/bulkhead.tar.
	@mkdir -p $(BIN)
	@hack/image.sh $(BIN)/bulkhead.tar $(VERSION)

.PHONY: generate
generate: ## Write the generated code, the CRDs and the roles anew.
	$(TOOL) controller-gen object:headerFile=hack/boilerplate.go.txt crd paths=./api/... \
		output:object:dir=api/v1alpha1 output:crd:dir=config/crd
	hack/roles.sh

# The launcher of the local cluster: small, compiled in seconds, its own module.
$(CLUSTER): $(shell find hack/cluster -name '*.go' -o -name 'go.*' -o -name '*.mod' -o -name '*.sum' -o -path '*/files/*')
	@mkdir -p $(BIN)
	go -C hack/cluster build -o $(CURDIR)/$(CLUSTER) .

##@ Test

.PHONY: test
test: $(CLUSTER) ## Unit and integration tests, with a real API server and etcd. No root needed.
	@assets=$$($(CLUSTER) assets) && \
	export KUBEBUILDER_ASSETS="$$assets" && \
	go test -race $(PRODUCT) ./test/bench/... ./test/rights && \
	$(WARM) && \
	go test -race -p 4 $(SHORT) && \
	$(GINKGO) --race $(LONG)
	go -C test/prometheus test ./...
	go test ./internal/vap ./internal/admission ./internal/ledger ./internal/agent # all of their cases: some would take minutes with the race detector

.PHONY: test-browser
test-browser: ## The HTML report in a real browser, light and dark; screenshots in $(BIN)/report. Needs Chromium, no root.
	go test -count 1 -tags browser ./internal/cmd/report

# The minor version of Kubernetes for conformance, such as 1.34; empty: the local cluster's.
KUBERNETES ?=

.PHONY: conformance
conformance: $(CLUSTER) ## Kubernetes' own Pod Security suite against both engines. KUBERNETES=1.34 for that API server.
	@assets=$$($(CLUSTER) assets --kubernetes "$(KUBERNETES)") && \
	KUBEBUILDER_ASSETS="$$assets" go -C test/conformance test -count 1 -timeout 30m

# The oldest and the newest version of Kubernetes that Bulkhead supports.
SKEW ?= 1.34 1.37

.PHONY: test-skew
test-skew: $(CLUSTER) ## Integration tests and conformance, with every API server in SKEW.
	$(WARM)
	@for kubernetes in $(SKEW); do \
		assets=$$($(CLUSTER) assets --kubernetes $$kubernetes) || exit; \
		echo "=== Kubernetes $$kubernetes: integration tests"; \
		export KUBEBUILDER_ASSETS="$$assets"; \
		go test -count 1 $(SHORT) && $(GINKGO) $(LONG) || exit; \
		echo "=== Kubernetes $$kubernetes: conformance"; \
		go -C test/conformance test -count 1 -timeout 30m || exit; \
	done

.PHONY: e2e
e2e: $(CLUSTER) ## The suite on a real cluster (root); with E2E_KUBECONFIG=FILE on the cluster of that file.
	[ -n "$(E2E_KUBECONFIG)" ] || go -C hack/cluster test -count 1 . ./internal/...
	E2E_KUBECONFIG=$(E2E_KUBECONFIG) E2E_IMAGE=$(E2E_IMAGE) go test -v -tags e2e -count 1 -timeout 30m ./test/e2e -ginkgo.v -ginkgo.label-filter='!escapes && !faults'

.PHONY: e2e-faults
e2e-faults: $(CLUSTER) ## The controller that evicts, while it is killed, lied to, overwritten and cut off, on the local cluster (root).
	go test -v -tags e2e -count 1 -timeout 30m ./test/e2e -ginkgo.v -ginkgo.focus='A controller that evicts'

.PHONY: e2e-escapes
e2e-escapes: $(CLUSTER) ## Escapes and lies that must be found, and workloads that must not be, on the local cluster (root).
	go test -v -tags e2e -count 1 -timeout 60m ./test/e2e -ginkgo.no-color -ginkgo.label-filter=escapes

.PHONY: bench
bench: ## Judge pods, reviews and manifests; look at 5,000 processes, beside the bare system calls.
	go test -run '^$$' -bench Judge -benchmem ./internal/isolation
	go test -run '^$$' -bench . -benchmem ./internal/vap ./internal/admission ./internal/cmd/check
	go test -run '^$$' -bench 'Scan|BareSyscalls' -benchmem ./internal/procns
	go test -run '^$$' -bench Look -benchmem ./test/bench/...

.PHONY: bench-agent
bench-agent: ## What looks of the agent cost, beside the bare system calls: 5,000 processes, 500 of them in 250 pods.
	go test -run '^$$' -bench Look -benchtime 60x -benchmem ./test/bench

.PHONY: bench-check
bench-check: ## What bulkhead check costs as a whole process: 1,000 pods, three policies.
	go run ./test/bench/check

.PHONY: bench-admission
bench-admission: $(CLUSTER) ## What admission costs, beside no policy and Pod Security. ROUNDS= DURATION= CLIENTS= PROFILE=1
	@assets=$$($(CLUSTER) assets) && \
	KUBEBUILDER_ASSETS="$$assets" go run ./test/bench/admission

.PHONY: bench-scale
bench-scale: $(CLUSTER) ## What the manager costs in clusters of up to 5,000 nodes and 150,000 pods, with a picture. PARTS=8,4,2,1 IDLE=60s
	@assets=$$($(CLUSTER) assets) && \
	KUBEBUILDER_ASSETS="$$assets" go run ./test/bench/scale

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME.
	@hack/fuzz.sh $(FUZZTIME)

.PHONY: verify
verify: ## Generated code, formatting, lint, import walls, manifests.
	@hack/verify.sh

.PHONY: clean
clean: ## Remove what was built here.
	rm -rf $(BIN)
