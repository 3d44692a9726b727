#!/bin/sh
# Makes node_modules complete and Node 26 run. Plain POSIX sh that needs no more than Debian 12's own Node 18 and npm 9.
set -u
cd "$(dirname "$0")/.." || exit 1

# Node 26 is an optional dependency, whose absence npm ls does not mind. It need not run yet.
is_complete() {
  sh scripts/npm.sh ls --all --include=dev >/dev/null 2>&1 &&
    { [ -x "$(echo node_modules/node-linux-*/bin/node)" ] || sh scripts/node.sh --version >/dev/null 2>&1; }
}

command -v npm >/dev/null || {
  echo 'filtermail: npm is missing; run as root: apt-get install --no-install-recommends nodejs npm' >&2
  exit 1
}
is_complete || {
  echo 'filtermail: installing the npm packages (npm ci)' >&2
  sh scripts/npm.sh ci --include=dev --include=optional --loglevel=error >&2 || exit 1
}
sh scripts/node.sh --version >/dev/null
