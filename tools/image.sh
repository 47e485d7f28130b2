#!/bin/sh
# The image of deploy/Containerfile, on a Debian that debootstrap makes, since no registry of images is needed so:
# ./image.sh PYTHON. The packages are fetched by that Python, whose index need not be known inside the image.
set -eu
python=$1
for tool in podman buildah debootstrap; do
    command -v "$tool" >/dev/null || {
        echo "make image: $tool is missing; install it (Debian: apt-get install podman buildah runc debootstrap)" >&2
        exit 1
    }
done
engines="dagster-k8s==0.29.27 dagster-celery[redis]==0.29.27 dagster-postgres==0.29.27 dagster-aws==0.29.27"
base=localhost/photoz-debian
folder=build/image
mkdir -p "$folder"
if ! podman image exists "$base"; then
    # shellcheck disable=SC2016 - apt's own variable
    mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -v security | sort -u | head -n 1)
    rm -rf "$folder/base"
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$folder/base" "$mirror" >"$folder/log"
    tar -C "$folder/base" -c . | podman import -q - "$base"
fi
# Debian's Python is older: redis wants async-timeout there.
# shellcheck disable=SC2086 - several words
"$python" -m pip download --quiet --dest "$folder/wheels" --constraint constraints.txt \
    "$(ls dist/photoz_assets-*.whl)[s3]" $engines async-timeout
buildah bud --isolation chroot --quiet --volume "$PWD/$folder/wheels:/wheels:ro" --file deploy/Containerfile \
    --build-arg "BASE=$base" --build-arg "PIP_OPTIONS=--no-index --find-links /wheels" --tag photoz-assets .
