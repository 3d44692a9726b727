// Shell scripts that make a machine for systemd, see units-system.ts. The arguments of both are a directory on a disk, the
// checkout, and the filter when it is another than the checkout's: a program of a package, or a single file.

/** Waits for the end of its input, which comes with the end of the test, however that ends; then takes everything away. */
export const keeper = `
  trap 'umount -R "$1/machine"; rm -rf --one-file-system "$1"' EXIT
  mkdir "$1/cache" "$1/machine"
  mkdir -m 1777 "$1/tmp"
  mount -t tmpfs -o mode=755 tmpfs "$1/machine"
  mkdir "$1/machine/cgroup"
  mount -t cgroup2 cgroup2 "$1/machine/cgroup"
  own=$1/machine/cgroup/filtermail-units-$$
  mkdir "$own"
  sh -euc 'echo $$ >"$0/cgroup.procs"; exec "$@"' "$own" \\
    unshare --cgroup --pid --uts --ipc --mount --fork --kill-child sh -euc "$FIRST" first "$@" &
  child=$!
  read -r _ || :
  exec >/dev/null 2>&1 # there may be no reader any more
  kill -KILL $child 2>/dev/null || :
  wait $child || :
  for try in 1 2 3 4 5 6 7 8 9 10; do
    find "$own" -depth -type d -exec rmdir {} + 2>/dev/null || :
    [ -e "$own" ] || break
    sleep 0.1
  done
`;

/** Becomes systemd, and says as which process. */
export const first = `
  trap 'echo failed' EXIT
  mkdir "$1/machine/root"
  mount --bind "$1/machine/root" "$1/machine/root"
  cd "$1/machine/root"
  mkdir usr proc sys dev run etc home mnt opt opt/filtermail var var/cache var/lib var/log
  mkdir var/tmp
  mkdir -m 1777 tmp
  for link in bin sbin lib lib64; do [ ! -L /$link ] || ln -s usr/$link $link; done
  mount --bind /usr usr
  mount -o remount,bind,ro usr
  mount -t tmpfs -o mode=755 tmpfs usr/local
  mkdir -p usr/local/bin usr/local/lib/chatmaild
  mount --bind "$1/cache" var/cache
  mount --bind "$1/tmp" var/tmp
  mount --bind "$2" opt/filtermail
  mount -o remount,bind,ro opt/filtermail
  filter=usr/local/bin/filtermail
  case $3 in
    '') ln -s /opt/filtermail/bin/filtermail $filter ;;
    /usr/bin/* | /usr/lib/* | /usr/share/*) ln -s "$3" $filter ;;
    *) : >$filter; mount --bind "$3" $filter ;;
  esac

  mount -t tmpfs -o mode=755 tmpfs run
  mount -t tmpfs -o mode=755 tmpfs dev
  mkdir dev/pts dev/shm
  for device in null zero full random urandom tty; do : >dev/$device; mount --bind /dev/$device dev/$device; done
  mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
  ln -s pts/ptmx dev/ptmx
  ln -s /proc/self/fd dev/fd
  # The process id of this shell as the test knows it: this proc is still the one of there.
  read -r pid rest </proc/self/stat
  mount -t proc proc proc
  mount --bind proc/sys proc/sys
  mount -o remount,bind,ro proc/sys
  mount -t sysfs -o ro sysfs sys
  mount -t cgroup2 cgroup2 sys/fs/cgroup

  cp /etc/ld.so.cache /etc/nsswitch.conf etc
  mkdir etc/ssl
  mount --bind /etc/ssl etc/ssl
  echo 0123456789abcdef0123456789abcdef >etc/machine-id
  echo filtermail-units >etc/hostname
  printf '%s\\n' root:x:0:0::/root:/bin/sh nobody:x:65534:65534::/:/bin/false vmail:x:5000:5000::/home/vmail:/bin/false >etc/passwd
  printf '%s\\n' root:x:0: nogroup:x:65534: systemd-journal:x:999: vmail:x:5000: >etc/group
  mkdir -p home/vmail/mail/one.test
  chown -R 5000:5000 home/vmail

  units=etc/systemd/system
  mkdir -p $units
  for unit in journald.service journald.socket journald-dev-log.socket; do cp /usr/lib/systemd/system/systemd-$unit $units; done
  for target in network nss-lookup shutdown; do echo '[Unit]' >$units/$target.target; done
  printf '[Unit]\\nRequires=systemd-journald.service\\nAfter=systemd-journald.service\\n' >$units/sysinit.target
  printf '[Unit]\\nRequires=sysinit.target\\nAfter=sysinit.target\\n' >$units/basic.target

  pivot_root . mnt
  umount -l mnt
  echo "$pid"
  exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    SYSTEMD_UNIT_PATH=/etc/systemd/system SYSTEMD_GENERATOR_PATH=/var/empty \
    /lib/systemd/systemd --unit=basic.target --log-target=journal --show-status=no
`;
