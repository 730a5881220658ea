#!/bin/sh
# Puts pg_dump, pg_restore and psql of one major version below a folder, with the libraries that the base image lacks and
# what a scanner and a lawyer look for: the packages they come from (/var/lib/dpkg/status.d) and their copyright files.
# Not `apt-get install` in the image itself: Debian's package depends on a wrapper in Perl, 46 MiB that nothing here calls.
#
# Usage: postgresql-client.sh MAJOR FOLDER     runs in a build stage that is thrown away
set -eu
major=$1 out=$2
package=postgresql-client-$major
export DEBIAN_FRONTEND=noninteractive
work=$(mktemp -d)
find /usr/lib -name '*.so*' > "$work/base"

# A major version that this Debian does not have comes from PostgreSQL's own repository, whose key is in a package that
# Debian signs. PGDG names a mirror of it. The list stands in a file of its own, as /etc/apt may be read-only.
apt="apt-get -q -o Dir::Etc::sourcelist=$work/pgdg.list"
: > "$work/pgdg.list"
$apt update
if ! apt-cache show "$package" > /dev/null 2>&1; then
  $apt install -y --no-install-recommends ca-certificates postgresql-common
  release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
  key=/usr/share/postgresql-common/pgdg/apt.postgresql.org.asc
  echo "deb [signed-by=$key] ${PGDG:-https://apt.postgresql.org/pub/repos/apt} $release-pgdg main" > "$work/pgdg.list"
  $apt update
fi
$apt install -y --no-install-recommends "$package"

install -d "$out/usr/local/bin" "$out/var/lib/dpkg/status.d"
from=/usr/lib/postgresql/$major/bin
for program in pg_dump pg_restore psql; do install -m 0755 "$from/$program" "$out/usr/local/bin/"; done

# /lib is /usr/lib, and ldd tells the first name; the list of the base has the second.
ldd "$from/pg_dump" "$from/pg_restore" "$from/psql" | awk '$2 == "=>" {print $3}' | sed 's,^/lib/,/usr/lib/,' | sort -u |
while read -r library; do
  grep -qxF "$library" "$work/base" && continue
  install -D -m 0644 "$library" "$out$library" # under the name that the loader looks for, whatever it links to
  echo "$library"
done > "$work/libraries"

{
  echo "$package"
  while read -r library; do
    file=$(readlink -f "$library")
    dpkg-query -S "$file" 2> /dev/null || dpkg-query -S "${file#/usr}"
  done < "$work/libraries" | cut -d: -f1
} | sort -u |
while read -r name; do
  dpkg-query --status "$name" > "$out/var/lib/dpkg/status.d/$name"
  [ ! -e "/usr/share/doc/$name/copyright" ] || install -D -m 0644 "/usr/share/doc/$name/copyright" "$out/usr/share/doc/$name/copyright"
done
rm -rf "$work"
