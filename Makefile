# The front door. Meson and Ninja do the work; see docs/TESTING.md for what each test is.
#
#   make          build/seriatim
#   make run      install what is missing, build, start the server (data in ./data)
#   make test     install what is missing, build and prove everything
.POSIX:
.SUFFIXES:

FUZZ_SECONDS = 300
KILLS = 200
SEED =
SIM = --runs 20000
ROUNDS = 40
SECONDS = 6
MINUTES = 60
SEEDS = 3000
ARGS =

all: build/seriatim

help:
	@echo 'make                    build build/seriatim'
	@echo 'make run [ARGS=...]     install what is missing, build, start the server'
	@echo 'make test               install what is missing, build and prove everything'
	@echo 'make unit               unit tests of the release build'
	@echo 'make asan, make tsan    unit tests under ASan+UBSan; threads under TSan'
	@echo 'make lint               house style, layers, and the tests of the checker'
	@echo 'make e2e                the real server from outside, with a WebSocket client'
	@echo 'make sdk                the JavaScript client in short; what `make test` runs'
	@echo 'make sdk-long KILLS=20 SEEDS=3000   its worlds and its kills at length'
	@echo 'make sdk-runtimes       its publisher killed under Bun and Deno (installed for that)'
	@echo 'make sdk-browser ROUNDS=20      reloads, crashes, offline, two tabs in Chromium'
	@echo 'make examples [ARGS=...]        a chat and an order board, in a browser, with a server'
	@echo 'make sdk-bench          messages a second that it publishes and receives'
	@echo 'make crash KILLS=200 [SEED=n]   publishers and subscribers through kill -9'
	@echo 'make sim SIM="--minutes 10"      a simulated world; --seed N --verbose, --shrink'
	@echo 'make sim-asan SIM="--runs 2000"  the same under ASan+UBSan'
	@echo 'make mutants            planted bugs: what catches each; ARGS="NAME ..." for some'
	@echo 'make loops              every k-th call fails, every crash point, every bit flipped'
	@echo 'make disk ROUNDS=40 [SEED=n]    power cuts, failing and full disks under load'
	@echo 'make net SECONDS=6 [SEED=n]     a faulty wire between clients and server'
	@echo 'make soak MINUTES=60 [SEED=n]   a mixed load: memory, descriptors, latency flat'
	@echo 'make classic            1, 5, 10 million messages at 10,000 to 100,000/s; then with kill -9'
	@echo 'make coverage           branches that the tests take, by module and file'
	@echo 'make model              the protocols in model/, every state of them (spin)'
	@echo 'make fuzz FUZZ_SECONDS=300      every fuzz target for so long'
	@echo 'make bench              the standard set of `seriatim bench`, into docs/BENCHMARKS.md'
	@echo 'make bench-peers        the same loads on other servers by turns, into docs/PEERS.md'
	@echo 'make bench-locks        one connection, many threads: rings against mutexes'
	@echo 'make perf-gate          instructions of the main paths against bench/perf_baseline.json'
	@echo 'make perf-baseline      accepts what they are now'
	@echo 'make format             clang-format over the tree'
	@echo 'make clean              remove what was built (never ./data)'

deps:
	@tools/install-deps.sh build

deps-test:
	@tools/install-deps.sh test

build/build.ninja:
	meson setup build

# Ninja knows what is up to date; make always asks it.
build/seriatim: build/build.ninja .ALWAYS
	@ninja -C build seriatim

.ALWAYS:

run: deps
	@$(MAKE) -s build/seriatim
	@exec build/seriatim serve --data data $(ARGS)

test: deps-test
	@tools/run-tests

unit: build/build.ninja
	@tools/run-tests unit

asan: deps-test
	@tools/run-tests asan

tsan: deps-test
	@tools/run-tests tsan

lint: deps-test
	@tools/run-tests lint

e2e: deps-test
	@tools/run-tests build e2e

sdk: deps-test build/build.ninja
	@tools/run-tests sdk

sdk-build: deps-test build/build.ninja
	@ninja -C build --quiet seriatim
	@sdk/js/install
	@sdk/js/node_modules/.bin/tsc -p sdk/js

sdk-long: sdk-build
	@SDK_KILLS=$(KILLS) SDK_SEEDS=$(SEEDS) node --test sdk/js/test/world.test.mjs \
	    sdk/js/test/e2e.test.mjs

sdk-runtimes: sdk-build
	@for runtime in "bun" "deno run --allow-all"; do \
	    SDK_RUNTIME="$$runtime" npm exec --yes --package=bun@1 --package=deno@2 -- node --test \
	        --test-name-pattern "killed in mid-publish" sdk/js/test/e2e.test.mjs || exit 1; done

sdk-browser: sdk-build
	@tools/install-deps.sh browser
	@SDK_ROUNDS=$(ROUNDS) node --test sdk/js/test/browser.test.mjs sdk/js/test/examples.test.mjs

examples: sdk-build
	@exec node examples/serve.mjs $(ARGS)

sdk-bench: sdk-build
	@node bench/sdk.mjs $(ARGS)

crash: deps-test
	@tools/run-tests build
	@test/e2e/install
	@node test/crash/crash.mjs --kills $(KILLS) $(SEED:%=--seed %)

sim: deps build/build.ninja
	@ninja -C build --quiet seriatim-sim
	@build/seriatim-sim $(SIM)

# The folder is that of `make asan`, with its options.
sim-asan: SIM = --runs 2000
sim-asan: deps-test
	@test -e build-asan/build.ninja || meson setup build-asan -Dhot_asserts=true \
		-Db_sanitize=address,undefined -Doptimization=1 -Ddebug=true
	@ninja -C build-asan --quiet seriatim-sim
	@build-asan/seriatim-sim $(SIM)

mutants: deps-test
	@test/e2e/install
	@node test/mutants/run.mjs --jobs 2 --scratch build-mutants $(ARGS)

loops: deps-test
	@tools/run-tests loops

disk: deps-test
	@tools/run-tests build
	@test/e2e/install
	@node test/disk/disk.mjs --rounds $(ROUNDS) $(SEED:%=--seed %)

net: deps-test
	@tools/run-tests build
	@test/e2e/install
	@node test/net/net.mjs --seconds $(SECONDS) $(SEED:%=--seed %)

soak: deps-test
	@tools/run-tests build
	@test/e2e/install
	@node test/soak/soak.mjs --minutes $(MINUTES) $(SEED:%=--seed %)

classic: deps-test
	@tools/run-tests build
	@test/e2e/install
	@node test/load/classic.mjs $(ARGS)

coverage: deps-test
	@tools/coverage

model: deps-test
	@tools/run-models

fuzz: deps-test
	@tools/run-tests --fuzz-seconds $(FUZZ_SECONDS) fuzz

bench: deps build/build.ninja
	@ninja -C build --quiet seriatim
	@python3 bench/run.py $(ARGS)

bench-locks: deps build/build.ninja
	@ninja -C build --quiet bench/write_path
	@build/bench/write_path $(ARGS)

perf-gate: deps-test
	@tools/perf-gate

perf-baseline: deps-test
	@tools/perf-gate --accept

bench-peers: deps build/build.ninja
	@ninja -C build --quiet seriatim bench/peers
	@python3 bench/peers/run.py $(ARGS)

format:
	git ls-files -z '*.c' '*.h' | xargs -0 clang-format -i

clean:
	rm -rf build build-asan build-clang build-cov build-fuzz build-mutants build-tsan sdk/js/dist

.PHONY: all help deps deps-test run test unit asan tsan lint e2e crash sim sim-asan mutants loops disk net
.PHONY: soak classic coverage model fuzz bench bench-peers
.PHONY: examples sdk sdk-build sdk-long sdk-runtimes sdk-browser sdk-bench
.PHONY: bench-locks perf-gate perf-baseline format clean
