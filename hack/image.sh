#!/bin/sh
# Builds the project's Dockerfile without a daemon and without a registry, as an archive that
# containerd imports: hack/image.sh ARCHIVE [VERSION]
#
# The build stage gets the Go toolchain, the modules and the build cache of this machine as
# mounts on an image that holds a shell only; the final stage starts from nothing.
set -eu
archive=${1:?usage: hack/image.sh ARCHIVE [VERSION]}
version=${2:-dev}
image=ghcr.io/bulkhead-dev/bulkhead:dev
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
for tool in buildah busybox go; do
	command -v "$tool" >/dev/null || {
		echo "hack/image.sh: $tool is not installed; on Debian: hack/install-debian.sh" >&2
		exit 1
	}
done

# Storage of its own, gone afterwards: nothing is mixed with the images of this machine.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
buildah="buildah --root $work/root --runroot $work/run --storage-driver vfs"

shell=$($buildah from scratch)
mnt=$($buildah mount "$shell")
mkdir -p "$mnt/bin" "$mnt/usr/bin" "$mnt/tmp" "$mnt/etc"
cp "$(command -v busybox)" "$mnt/bin/busybox"
ln -s busybox "$mnt/bin/sh"
for applet in mkdir cp rm env cat chmod; do ln -s busybox "$mnt/bin/$applet"; done
chmod 1777 "$mnt/tmp"
$buildah umount "$shell" >/dev/null
$buildah config --env PATH="$(go env GOROOT)/bin:/bin" --env HOME=/tmp --env GOTOOLCHAIN=local \
	--env GOPROXY=off --env GOMODCACHE=/go/pkg/mod --env GOCACHE=/go/cache "$shell"
$buildah commit --quiet "$shell" localhost/go-shell >/dev/null

(cd "$root" && go mod download)
$buildah bud --quiet --isolation chroot --pull=never \
	--build-arg GO_IMAGE=localhost/go-shell --build-arg BASE_IMAGE=scratch --build-arg VERSION="$version" \
	--volume "$(go env GOROOT):$(go env GOROOT):ro" \
	--volume "$(go env GOMODCACHE):/go/pkg/mod" \
	--volume "$(go env GOCACHE):/go/cache" \
	--tag "$image" --file "$root/Dockerfile" "$root" >/dev/null
rm -f "$archive"
$buildah push --quiet "$image" "oci-archive:$archive:$image" >/dev/null
echo "$archive: $image ($version)"
