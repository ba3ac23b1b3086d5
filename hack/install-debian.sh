#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Installs the Debian (or Ubuntu) packages that a local cluster needs: see
# hack/cluster/README.md. It does nothing, and says nothing, where all are there.
#
#   usage: hack/install-debian.sh [--check] [--browser]
#
#   --check     only says what is missing
#   --browser   also what "make test-browser" needs, which is 220 MB
set -eu

# gcc, libc6-dev, libseccomp-dev, pkg-config   build runc and the pause program
# busybox-static                               becomes the image that tests run
# nftables                                     kube-proxy and host ports
# mount, util-linux                            the kubelet, and "cluster exec"
# iproute2, procps                             looking at a cluster from outside
# buildah                                      builds images without a daemon
# bubblewrap                                   a sandbox that makes namespaces, of which nothing must be found
packages="gcc libc6-dev libseccomp-dev pkg-config busybox-static nftables mount util-linux iproute2 procps buildah bubblewrap"

# chromium-headless-shell                      shows the HTML report; any other Chromium does as well
# fonts-dejavu-core                            it needs one font at least
browser_packages="chromium-headless-shell fonts-dejavu-core"

fail() {
	echo "install-debian.sh: $*" >&2
	exit 1
}

check=
for option; do
	case $option in
	--check) check=yes ;;
	--browser) packages="$packages $browser_packages" ;;
	*) fail "there is no option $option: see the top of this file" ;;
	esac
done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	fail "this is no Debian or Ubuntu. Install by hand what is in these packages there: $packages"
fi

installed() {
	case $1 in
	pkg-config) command -v pkg-config >/dev/null ;; # pkgconf has taken its place in places
	chromium-headless-shell)
		# Ubuntu has no package of it, and its runners have Chrome.
		for browser in "${CHROMIUM:-}" chromium-headless-shell chromium google-chrome google-chrome-stable; do
			if command -v "$browser" >/dev/null; then return 0; fi
		done
		return 1
		;;
	*) dpkg-query --show --showformat='${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed ;;
	esac
}

missing=
for package in $packages; do
	installed "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ -n "$check" ] || [ "$(id -u)" -ne 0 ]; then
	fail "these packages are missing. Install them by hand: apt-get install$missing"
fi

echo "Installing$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq || fail "apt-get cannot update its lists: see above. Install these by hand:$missing"
# shellcheck disable=SC2086 # one word per package
apt-get install -y -qq --no-install-recommends $missing >/dev/null ||
	fail "apt-get cannot install what is missing: see above. Install these by hand:$missing"
