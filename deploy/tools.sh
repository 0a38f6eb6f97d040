#!/usr/bin/env bash
# Installs what `make demo`, `make test` and `make lint` need and what is missing, and says so. Built tools are kept in
# $SKEIN_CACHE (default ~/.cache/skein), outside the checkout.
#   deploy/tools.sh demo|test|lint
set -euo pipefail
what=${1:?usage: deploy/tools.sh demo|test|lint}
cache=${SKEIN_CACHE:-$HOME/.cache/skein}
mkdir -p "$cache/bin"

MINIO=github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
LINT=github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.5.0

say() { printf 'tools: %s\n' "$*"; }
die() { printf 'tools: %s\n' "$*" >&2; exit 1; }

need() { # need COMMAND HINT
  command -v "$1" >/dev/null 2>&1 || die "$1 is missing: $2"
}
need go "install Go 1.26 or newer from https://go.dev/dl"
need git "install it with: apt-get install git"
if [ "$what" != lint ]; then
  need node "install Node.js 20 or newer"
  need npm "install npm, it comes with Node.js"
  major=$(node -p 'process.versions.node.split(".")[0]')
  [ "$major" -ge 20 ] || die "Node.js $major is too old: 20 or newer is needed"
fi

# debian COMMAND-OR-FILE PACKAGE...: the packages whose probe is missing are installed in one go.
missing=()
debian() {
  local probe=$1
  shift
  case $probe in
    /*) [ -e "$probe" ] && return ;;
    *) command -v "$probe" >/dev/null 2>&1 && return ;;
  esac
  missing+=("$@")
}
if [ "$what" = test ]; then
  PATH=$PATH:/usr/sbin:/sbin
  debian ffmpeg ffmpeg
  debian redis-server redis-server
  debian chromium chromium
  debian nft nftables
  debian ip iproute2
  debian gst-launch-1.0 gstreamer1.0-tools
  debian /usr/share/doc/gir1.2-gst-rtsp-server-1.0 gir1.2-gst-rtsp-server-1.0 python3-gi
  debian /usr/share/doc/gstreamer1.0-plugins-good gstreamer1.0-plugins-base gstreamer1.0-plugins-good
  debian /usr/share/doc/gstreamer1.0-plugins-ugly gstreamer1.0-plugins-ugly gstreamer1.0-plugins-bad
  debian /usr/share/doc/gstreamer1.0-libav gstreamer1.0-libav
  debian /usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc fonts-noto-cjk
fi
if [ ${#missing[@]} -gt 0 ]; then
  command -v apt-get >/dev/null 2>&1 || die "these packages are missing and there is no apt-get: ${missing[*]}"
  sudo=
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 || die "not root and no sudo: install these yourself: ${missing[*]}"
    sudo=sudo
  fi
  say "installing Debian packages: ${missing[*]}"
  log=$cache/apt.log
  { $sudo apt-get update && DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y --no-install-recommends "${missing[@]}"; } \
    >"$log" 2>&1 || { tail -n 20 "$log" >&2; die "apt-get could not install ${missing[*]} (log: $log)"; }
fi

build() { # build NAME MODULE@VERSION MINUTES
  local stamp=$cache/bin/.$1.version
  if [ -x "$cache/bin/$1" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$2" ]; then return; fi
  say "building $1 ($2), about $3 minutes on 2 cores, once"
  (cd "$cache" && GOBIN=$cache/bin GOFLAGS=-mod=mod go install "$2") || die "could not build $1 from $2"
  printf '%s' "$2" >"$stamp"
}
case $what in
  test) build minio "$MINIO" 5 ;;
  lint) build golangci-lint "$LINT" 3 ;;
  demo) ;;
  *) die "unknown set $what: want demo, test or lint" ;;
esac
