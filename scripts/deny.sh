#!/usr/bin/env bash
# Licences, bans and sources are always checked; advisories only where their database can be had.
set -euo pipefail
if ! command -v cargo-deny >/dev/null 2>&1; then
  echo "deny: cargo-deny is not installed (cargo install --locked cargo-deny): licences and advisories are not checked"
  exit 0
fi
# Crates of other platforms are looked at as well; a build does not bring them.
cargo fetch --locked --quiet
cargo deny --offline check licenses bans sources
if cargo deny fetch db >/dev/null 2>&1; then
  cargo deny --offline check advisories
else
  echo "deny: the advisory database cannot be fetched here: advisories are not checked"
fi
