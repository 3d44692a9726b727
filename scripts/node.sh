#!/bin/sh
# Runs Node 26 with the given arguments.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/find-node.sh"
find_node && exec "$node" "$@"
exit 1
