# To be sourced with $root set: find_node sets $node to a Node 26, the one that npm put into node_modules or else the system's.
# As root it installs libatomic1 where that alone is missing; else it says on stderr what to run. Plain POSIX sh, because on a fresh
# machine nothing newer is there yet.

is_node26() {
  [ -x "$1" ] && case $("$1" --version 2>/dev/null) in v2[6-9].* | v[3-9][0-9].*) true ;; *) false ;; esac
}

# Node's official binaries from version 26 on need libatomic.so.1, which a bare Debian lacks.
needs_libatomic() {
  [ -x "$1" ] && "$1" --version 2>&1 | grep -q 'libatomic\.so\.1'
}

find_node() {
  for node in "$root"/node_modules/node-linux-*/bin/node "$(command -v node || true)"; do
    is_node26 "$node" && return 0
    if needs_libatomic "$node"; then
      echo 'filtermail: Node 26 needs libatomic.so.1' >&2
      sh "$root/scripts/debian.sh" libatomic1 && is_node26 "$node"
      return
    fi
  done
  echo 'filtermail: no Node 26 found; run: npm ci' >&2
  return 1
}
