#!/bin/sh
# npm run build: installs what is missing, then makes all packages, in dist/ or the directory that is named.
set -u
cd "$(dirname "$0")/.." || exit 1
command -v dpkg-deb >/dev/null || {
  echo 'filtermail: dpkg-deb is missing: packages are built on Debian' >&2
  exit 1
}
sh scripts/install.sh || exit 1
exec sh scripts/node.sh scripts/build/main.ts "$@"
