#!/bin/sh
# Runs Node 26 with the given arguments: the one that npm put into node_modules, else the system's if it is new enough.
# Plain POSIX sh, because on a fresh machine nothing newer is there yet. Sourced with FILTERMAIL_NODE_ONLY=1 it only sets $node.
set -u

root=${FILTERMAIL_ROOT:-$(cd "$(dirname "$0")/.." && pwd)}

is_node26() {
  [ -x "$1" ] && case $("$1" --version 2>/dev/null) in v2[6-9].*|v[3-9][0-9].*) true ;; *) false ;; esac
}

# Node's official binaries from version 26 on need libatomic.so.1, which a bare Debian lacks.
need_libatomic() {
  [ -x "$1" ] && "$1" --version 2>&1 | grep -q 'libatomic\.so\.1'
}

find_node() {
  for node in "$root"/node_modules/node-linux-*/bin/node "$(command -v node || true)"; do
    is_node26 "$node" && return 0
    if need_libatomic "$node"; then
      echo 'filtermail: Node 26 needs libatomic.so.1' >&2
      sh "$root/scripts/debian.sh" libatomic1 && is_node26 "$node"
      return
    fi
  done
  echo 'filtermail: no Node 26 found; run: npm ci' >&2
  return 1
}

find_node || exit 1
[ "${FILTERMAIL_NODE_ONLY:-}" = 1 ] || exec "$node" "$@"
