# The commands that people type. CMakePresets.json says what each preset is; CONTRIBUTING.md what
# to use when.

.DEFAULT_GOAL := help
CTEST := ctest --output-on-failure --no-tests=error
JOBS ?= $(shell nproc)

.PHONY: help
help: ## Print this list
	@awk -F ':.*## ' '/^[a-z -]+:.*## / {printf "make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: release ## Build, then train, deploy and call a model on real data
	deploy/demo

.PHONY: build
build: configure-dev ## Build the `dev` preset, tests and all
	cmake --build build/dev -j $(JOBS)

.PHONY: release
release: configure-release ## Build what users run into build/release/bin
	cmake --build build/release -j $(JOBS) --target programs

# A test that fails runs once more, since machines are shared; ctest names those that needed it.
.PHONY: test
test: bootstrap-test build ## Build and test everything
	$(CTEST) --test-dir build/dev -j $(JOBS) --repeat until-pass:2 -LE 'bench|soak|package|clients|kubernetes'

.PHONY: unit
unit: build ## Build, and run the unit tests alone
	$(CTEST) --test-dir build/dev -j $(JOBS) -L unit

.PHONY: test-clients
test-clients: configure-dev ## Run public clients (inference protocol, OpenAI), unmodified, against the gateway
	deploy/bootstrap clients
	cmake --build build/dev -j $(JOBS) --target slipway-test-serving --target grpc_clients_test
	$(CTEST) --test-dir build/dev -L clients

.PHONY: test-kubernetes
test-kubernetes: bootstrap-kubernetes configure-dev ## Try the chart on a real Kubernetes API server
	cmake --build build/dev -j $(JOBS) --target programs kubernetes_worker_pool_test
	$(CTEST) --test-dir build/dev -V -L kubernetes

.PHONY: bench
bench: release ## Measure, by the rules of docs/performance.md
	cmake --build build/release -j $(JOBS) --target benchmarks
	$(CTEST) --test-dir build/release -V -L '^bench$$'

.PHONY: soak
soak: release ## A million metered calls while gateways are killed; 500 kills of one training
	cmake --build build/release -j $(JOBS) --target usage_soak
	$(CTEST) --test-dir build/release -V -L '^soak$$'
	cmake --build build/release -j $(JOBS) --target trainer_process_test
	SLIPWAY_KILLS=500 build/release/tests/trainer_process_test --gtest_filter='*KillsAtRandomMoments*'

.PHONY: bench-serving
bench-serving: release ## Measure serving alone, also beside other model servers, which come from PyPI
	cmake --build build/release -j $(JOBS) --target benchmarks
	$(CTEST) --test-dir build/release -V -L '^bench-serving$$'

.PHONY: bench-training
bench-training: release ## Measure training beside PyTorch in Python, which comes from PyPI (3 GB)
	cmake --build build/release -j $(JOBS) --target slipway-trainer
	$(CTEST) --test-dir build/release -V -L '^bench-training$$'

.PHONY: asan tsan clang cuda
asan tsan: bootstrap-test ## Build and run unit and integration tests under a sanitizer
	cmake --preset $@
	cmake --build build/$@ -j $(JOBS)
	$(CTEST) --test-dir build/$@ -j $(JOBS) -L 'unit|integration'

.PHONY: fuzz
fuzz: bootstrap-lint ## Fuzz what reads untrusted bytes, each for SECONDS (60)
	cmake --preset fuzz
	cmake --build build/fuzz -j $(JOBS) --target fuzzers
	tests/fuzz/run $(or $(SECONDS),60)

clang: bootstrap-lint ## Build with clang-16 and -Wthread-safety
	cmake --preset $@
	cmake --build build/$@ -j $(JOBS)

cuda: ## Build with LibTorch's CUDA part
	deploy/bootstrap --cuda build
	cmake --preset $@
	cmake --build build/$@ -j $(JOBS)

.PHONY: format
format: bootstrap-lint ## Format our own C++ files
	tests/lint/lint --fix

.PHONY: lint
lint: bootstrap-lint ## Check format, and run clang-tidy over what changed (ALL=1: over everything)
	cmake --preset clang
	cmake --build build/clang -j $(JOBS) --target generated
	tests/lint/lint $(if $(ALL),--all)

.PHONY: package
package: bootstrap-package release ## Make the .deb, install it into a fresh Debian, run it, remove it
	rm -f build/release/*.deb
	cd build/release && cpack -G DEB
	$(CTEST) --test-dir build/release -L package

.PHONY: install
install: ## Install what `make release` built, below DESTDIR
	DESTDIR=$(DESTDIR) cmake --install build/release

.PHONY: clean
clean: ## Remove everything that was built (the cache of wheels stays)
	rm -rf build

.PHONY: bootstrap-build bootstrap-test bootstrap-lint bootstrap-package bootstrap-kubernetes
bootstrap-build:
	deploy/bootstrap build
bootstrap-test:
	deploy/bootstrap build test
bootstrap-lint:
	deploy/bootstrap build lint
bootstrap-package:
	deploy/bootstrap build package
bootstrap-kubernetes:
	deploy/bootstrap build test kubernetes

.PHONY: configure-dev configure-release
configure-dev configure-release: configure-%: bootstrap-build
	cmake --preset $*
