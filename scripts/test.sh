#!/bin/sh
# npm test: installs what is missing and runs every part of the tests, also after one failed. Under CI=true a part that is left
# out is a failure. Each part is an npm script of its own (npm run test:unit), which is the quicker way while working.
set -u
cd "$(dirname "$0")/.." || exit 1

packages='postfix dovecot-imapd dovecot-lmtpd nginx-light opendkim unbound iproute2 systemd openssl mmdebstrap mandoc groff-base python3-iniconfig'
most_seconds=900                     # in all
most_part_seconds=450

began=$(date +%s)
failed=0
work=$(mktemp -d) || exit 1
trap stop EXIT
trap 'exit 130' HUP INT TERM

# timeout makes its command a process group, to end all of it; so Ctrl-C does not reach that, and timeout has to be told.
stop() {
  [ ! -e "$work/pid" ] || kill "$(cat "$work/pid")"
  rm -rf "$work"
}

seconds() {
  echo $(($(date +%s) - began))
}

# record <name> <how it went> <time> <more>
record() {
  printf '  %-9s %-9s %6s  %s\n' "$1" "$2" "$3" "$4" | sed 's/ *$//' >>"$work/summary"
}

left_out() {
  record "$1" 'left out' '' "$2"
  [ "${CI:-}" != true ] || failed=1
}

# Runs a command whose output can be looked at afterwards too.
logged() {
  {
    # shellcheck disable=SC2016 # for the inner shell
    sh -c 'echo $$ >"$0"; exec "$@"' "$work/pid" "$@" </dev/null
    echo $? >"$work/status"
    rm "$work/pid"
  } 2>&1 | tee "$work/output"
  return "$(cat "$work/status")"
}

# The number behind a word of node:test's closing lines.
closing() {
  sed -n "s/^ℹ $1 //p" "$work/output" | tail -n 1
}

# part <name> <what it shows>
part() {
  printf '\n=== %s: %s\n\n' "$1" "$2"
  since=$(seconds)
  limit=$((most_seconds - since))
  [ "$limit" -lt "$most_part_seconds" ] || limit=$most_part_seconds
  if [ "$limit" -le 0 ]; then
    failed=1
    record "$1" FAILED '' "no time left of $most_seconds s"
    return
  fi
  logged timeout -k 20 "$limit" sh scripts/npm.sh run -s "test:$1"
  status=$?
  took=$(($(seconds) - since))
  tests=$(closing tests)
  skipped=$(closing skipped)
  counts=${tests:+"$tests tests"}
  [ "${skipped:-0}" = 0 ] || counts="$counts, $skipped skipped"
  if [ "$status" != 0 ]; then
    failed=1
    [ "$status" != 124 ] || counts="not done after $limit s"
    record "$1" FAILED "$took s" "$counts"
  elif [ "$tests" = 0 ]; then
    echo 'There are no such tests.'
    left_out "$1" 'there are no such tests'
  else
    record "$1" passed "$took s" "$counts"
  fi
}

# shellcheck disable=SC2086 # one word a package
logged sh scripts/debian.sh $packages || missing=$(tail -n 1 "$work/output")
sh scripts/install.sh || exit 1
record install passed "$(seconds) s" ''

part types 'TypeScript, strict'
part lint 'Biome'
part unit 'tables, transcripts and real messages, each alone'
part fuzz 'made-up input with a fixed budget'
part loopback 'the real filter on loopback ports'
part demo 'npm start'
part package 'what npm run build makes'
if [ "$(id -u)" != 0 ]; then
  left_out relay 'Postfix can only be started as root'
elif [ -n "${missing:-}" ]; then
  left_out relay "$missing"
else
  part relay 'the real filter behind and before a real Postfix'
fi

printf '\n=== Summary\n\n'
cat "$work/summary"
total=$(seconds)
[ "$failed" = 0 ] && verdict=Passed || verdict=FAILED
printf '\n%s in %d min %d s.\n' "$verdict" $((total / 60)) $((total % 60))
[ "${CI:-}" != true ] || ! grep -q 'left out' "$work/summary" || echo 'With CI=true a part that is left out is a failure.'
exit "$failed"
