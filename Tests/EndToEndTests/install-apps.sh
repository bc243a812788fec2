#!/bin/sh
# Installs what the end-to-end tests run: nginx, DokuWiki and MediaWiki from Debian's packages, and the PHP
# extensions they need. Starts no service and changes no configuration of a web server.
set -eu

export DEBIAN_FRONTEND=noninteractive

# Packages must not start the services they bring along; policy-rc.d is how Debian is told so.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi

echo 'dokuwiki dokuwiki/system/configure-webserver multiselect
dokuwiki dokuwiki/wiki/failpass boolean true
dokuwiki dokuwiki/wiki/acl select public
dokuwiki dokuwiki/system/restart-webserver boolean false' | debconf-set-selections

apt-get update -q
apt-get install -q -y --no-install-recommends \
    nginx-light \
    php8.2-fpm php8.2-sqlite3 php8.2-xml php8.2-mbstring php8.2-intl \
    dokuwiki mediawiki
