#!/usr/bin/env bash
# Builds what a release holds into target/artifacts: for each processor a tarball with the static
# programs, a list of their crates (SBOM), the chart, the stack's compose file, and the checksums.
# The programs are those of the commit if nothing is modified.
#   IMAGE_PREFIX=ghcr.io/OWNER/   the registry that the chart and the compose file take images from
#   TARGETS="x86_64"              only this processor
set -euo pipefail
cd "$(dirname "$0")/../.."

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml)
REVISION=$(git rev-parse --short=12 HEAD)
git diff --quiet HEAD || REVISION+=-modified
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export REVISION SOURCE_DATE_EPOCH
out=$PWD/target/artifacts
rm -rf "$out"
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# musl's headers for a processor, from Debian. The state of apt is a folder of its own, so neither
# root nor another architecture for dpkg is needed.
musl_headers() {
    local debian=$1 folder=$PWD/target/musl/$1
    if [ ! -d "$folder" ]; then
        local apt=$work/apt-$debian
        mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
        local options=(-qq -o "APT::Architecture=$debian" -o "APT::Architectures=$debian"
            -o "Dir::State::Lists=$apt/lists" -o Dir::State::status=/dev/null
            -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=)
        apt-get "${options[@]}" update
        (cd "$apt" && apt-get "${options[@]}" download musl-dev)
        dpkg-deb -x "$apt"/musl-dev_*.deb "$apt/files"
        mkdir -p "$(dirname "$folder")"
        mv "$apt"/files/usr/include/*-linux-musl "$folder"
    fi
    echo "$folder"
}

# The files of a tarball have the commit's time and no owner, so the same commit gives the same
# tarball, whatever the user's umask is.
pack() {
    tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
        --mode=a+rX,u+w,go-w -C "$2" -cf - "$3" | gzip -n >"$1"
}

for arch in ${TARGETS:-x86_64 aarch64}; do
    target=$arch-unknown-linux-musl
    case $arch in
    x86_64) debian=amd64 ;;
    aarch64) debian=arm64 ;;
    *) echo "TARGETS: $arch is not accepted; give x86_64 or aarch64" >&2 && exit 2 ;;
    esac
    if command -v rustup >/dev/null; then
        rustup -q target add "$target"
    fi
    # The C parts, SQLite and ring, see musl's headers in place of glibc's.
    gcc=$arch-linux-gnu-gcc
    flags="-nostdinc -isystem $(musl_headers "$debian") -isystem $("$gcc" -print-file-name=include)"
    env "CC_${target//-/_}=$gcc" "CFLAGS_${target//-/_}=$flags" \
        "CARGO_TARGET_$(tr a-z- A-Z_ <<<"$target")_LINKER=$gcc" \
        cargo build --locked --profile dist --target "$target" -p api -p cron
    name=github-topic-mirror-$version-$arch-linux
    mkdir -p "$work/$name"
    cp target/"$target"/dist/{api,cron} LICENSE README.md "$work/$name/"
    pack "$out/$name.tar.gz" "$work" "$name"
done

# The tool writes beside each Cargo.toml, so it works on a copy, whose place nobody needs to know.
mkdir "$work/source"
git archive HEAD | tar -x -C "$work/source"
(cd "$work/source" && cargo cyclonedx --quiet --format json --spec-version 1.5 --target all)
for program in api cron; do
    sed "s|file://$work/source|file://|" "$work/source/$program/$program.cdx.json" \
        >"$out/github-topic-mirror-$version-$program.cdx.json"
done

# The chart and the compose file take the images of this release. A package of a chart is a tarball
# in which the link to the alert rules is a file.
mkdir "$work/chart"
cp -rL deploy/helm/github-topic-mirror "$work/chart/"
sed -i "s|^  prefix: \"\"$|  prefix: \"${IMAGE_PREFIX:-}\"|" \
    "$work/chart/github-topic-mirror/values.yaml"
pack "$out/github-topic-mirror-$version.tgz" "$work/chart" github-topic-mirror
name=github-topic-mirror-$version-compose
mkdir "$work/$name"
cp docker-compose.yml "$work/$name/"
sed "s|^IMAGE_PREFIX=$|IMAGE_PREFIX=${IMAGE_PREFIX:-}|" .env >"$work/$name/.env"
pack "$out/$name.tar.gz" "$work" "$name"

(cd "$out" && sha256sum -- * >SHA256SUMS && cat SHA256SUMS)
