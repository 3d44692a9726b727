#!/bin/sh
# npm start: installs what is missing, then shows the filter at work.
set -u
cd "$(dirname "$0")/.." || exit 1
sh scripts/install.sh || exit 1
command -v openssl >/dev/null || sh scripts/debian.sh openssl || exit 1
exec sh scripts/node.sh demo/start.ts "$@"
