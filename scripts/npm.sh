#!/bin/sh
# Runs npm on the Node that it came with. In a script that npm runs, PATH leads to node_modules' Node 26 first: an old npm was
# not made for it, and without libatomic1 it does not even start.
case ${npm_execpath:-} in
  */npm-cli.js) exec "${npm_node_execpath:-node}" "$npm_execpath" "$@" ;;
  *) exec npm "$@" ;;
esac
