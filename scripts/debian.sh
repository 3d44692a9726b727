#!/bin/sh
# Installs those of the named Debian packages that are missing: sh scripts/debian.sh postfix python3-iniconfig
# Starts no service, replaces nothing that is installed (another MTA stays), and leaves policy-rc.d as it was.
set -u

fail() {
  echo "filtermail: $*" >&2
  exit 1
}

installed() {
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing=
for package; do
  installed "$package" || missing="$missing $package"
done
missing=${missing# }
[ -n "$missing" ] || exit 0

command -v apt-get >/dev/null || fail "not a Debian system; missing: $missing"
[ "$(id -u)" = 0 ] || fail "missing packages; run as root: apt-get install --no-install-recommends $missing"
echo "filtermail: installing the Debian packages $missing" >&2

work=$(mktemp -d) || fail 'no temporary directory'
policy=/usr/sbin/policy-rc.d
saved=$policy.filtermail
ours=

restore() {
  [ -z "$ours" ] || rm -f "$policy"
  [ ! -e "$saved" ] || mv -f "$saved" "$policy"
  rm -rf "$work"
}

# Two at once would take each other's policy-rc.d for the system's.
exec 9>/run/filtermail-debian.lock
flock 9

trap restore EXIT
trap 'exit 1' HUP INT TERM
# One put aside already is from a run that was killed: what is in its place is not the system's.
if [ -e "$policy" ] && [ ! -e "$saved" ]; then
  mv "$policy" "$saved" || fail "cannot write $policy"
fi
ours=yes
printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" || fail "cannot write $policy"

case " $missing " in
  *' postfix '*) echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections ;;
esac

# --no-remove: rather nothing than another MTA taken away.
install() {
  # shellcheck disable=SC2086 # one word a package
  DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends --no-remove \
    -o DPkg::Lock::Timeout=120 $missing </dev/null >"$work/log" 2>&1 9>&-
}

install || { apt-get update -qq -o DPkg::Lock::Timeout=120 >/dev/null 2>&1 9>&- && install; } ||
  fail "cannot install $missing: $(grep '^E:' "$work/log" | head -n 1)"
