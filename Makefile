# make check          formatting, lints, unit and integration tests, documentation: Rust alone (tests
#                     of the PostgreSQL store say so and pass where that is not installed)
# make test           everything, installing what it needs; ends with seconds per step
# make bench          what the sidecar costs a request, what the Authority gets done, how soon a revocation is everywhere
# make soak           the writer of each store killed 200 times, and half an hour of faults on the way to an
#                     Authority; SEED=N repeats a run
# make clients        real clients through `run`; one of them: make clients ONLY=curl
# make conformance    the served Authority against its OpenAPI document; SEED=… repeats a run
# make dist           the release: a static binary and what belongs to it, into target/dist
# make dist-check     the release as a new user meets it, in an empty root
# make first-hour     the same with the binary of `make release`
# make install-tools  what `test` needs: packages, Python, JavaScript runtimes, Go, PostgreSQL, an S3 server
.PHONY: check fmt lint unit doc test release demo demo-tamper clients conformance bench bench-seed soak soak-seed dist \
  dist-check first-hour \
  install-tools

SIDECAR := target/release/nexus-sidecar

# Under another HOME rustup's proxies find no toolchain: take the one that belongs to this cargo.
ifeq ($(origin RUSTUP_HOME),undefined)
ifneq ($(shell cargo --version 2>/dev/null | cut -d' ' -f1),cargo)
export RUSTUP_HOME := $(abspath $(dir $(shell command -v cargo))../../.rustup)
endif
endif

check: fmt lint unit doc

fmt:
	cargo fmt --check

lint:
	cargo clippy --all-targets -- -D warnings
	cargo clippy --all-targets --no-default-features -- -D warnings

unit:
	cargo test --lib --test it

doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

# One seed, so that a red run is somebody's change and not a draw: other seeds are drawn by hand.
test:
	SEED=$${SEED:-1} NEXUS_TESTS_NEED_POSTGRES=1 .ci/ledger install-tools check release demo demo-tamper first-hour clients conformance \
	  bench-seed soak-seed

release:
	cargo build --release

demo: release
	$(SIDECAR) demo

# The demo breaks one thing on purpose and has to notice: exactly 1 is success.
demo-tamper: release
	$(SIDECAR) demo --tamper; test $$? -eq 1

clients: release
	python3 tests/clients/run.py --binary $(SIDECAR) $(if $(ONLY),--only $(ONLY))

conformance: release
	python3 tests/schemathesis/run.py --binary $(SIDECAR)

bench:
	cargo bench --bench macro
	cargo bench --bench authority

bench-seed:
	cargo bench --bench macro -- --short
	cargo bench --bench authority -- --short

soak:
	NEXUS_TESTS_NEED_STRACE=1 NEXUS_TESTS_NEED_POSTGRES=1 cargo test --test soak -- --kills 200 $(if $(SEED),--seed $(SEED))
	FAULT_SECONDS=360 cargo test --test it -- --nocapture authority_fleet::faults

soak-seed:
	NEXUS_TESTS_NEED_STRACE=1 NEXUS_TESTS_NEED_POSTGRES=1 cargo test --test soak -- --kills 20 $(if $(SEED),--seed $(SEED))

dist:
	dist/build.sh

dist-check: dist
	dist/check.sh
	python3 tests/firsthour/run.py --tarball target/dist/*.tar.gz

first-hour: release
	dist/pack.sh $(SIDECAR) target/first-hour
	python3 tests/firsthour/run.py --tarball target/first-hour/*.tar.gz; test $$? -eq 0 -o $$? -eq 77

install-tools:
	tests/clients/install.sh
