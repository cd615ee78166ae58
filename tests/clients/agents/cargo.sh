#!/bin/sh
# cargo.sh BIN: builds a program with a dependency from a sparse registry, and runs it.
set -e
export CARGO_HOME="$WORK/cargo" RUSTC="$1/rustc" CARGO_REGISTRIES_PRIVATE_INDEX="sparse+$REGISTRY/index/"
mkdir -p "$WORK/project/src"
cd "$WORK/project"
cat > Cargo.toml << 'END'
[package]
name = "errand"
version = "1.0.0"
edition = "2021"

[dependencies]
tinypackage = { version = "1", registry = "private" }
END
echo 'fn main() { println!("{}", tinypackage::GREETING) }' > src/main.rs
"$1/cargo" run --quiet
