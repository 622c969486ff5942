#!/bin/sh
# Install what pip cannot: R with the model packages of the examples, and venv support where Debian splits it off.
# Does nothing when everything is there; names the packages when it may not install them.
set -eu

needed="r-base-core r-cran-randomforest r-cran-ranger r-cran-rpart r-cran-gbm r-cran-glmnet r-cran-nnet r-cran-mgcv r-cran-survival r-cran-jsonlite r-cran-ggplot2"
if [ "${1:-serve}" = test ]; then
    needed="$needed r-cran-plumber wrk curl nghttp2-client"
    # Asked for by command: Node.js from elsewhere often has npm in it, and Debian's npm does not go with it.
    command -v node >/dev/null 2>&1 || needed="$needed nodejs"
    command -v npm >/dev/null 2>&1 || needed="$needed npm"
fi
python="${PYTHON:-python3}"
"$python" -c 'import ensurepip' 2>/dev/null || needed="$needed python3-venv"

missing=""
for package in $needed; do
    dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -q '^installed$' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "These packages are needed, and there is no apt-get to install them:$missing" >&2
    exit 1
fi
if [ "$(id -u)" -eq 0 ]; then
    sudo=""
elif command -v sudo >/dev/null 2>&1; then
    sudo="sudo"
else
    echo "These packages are needed; ask an administrator to run: apt-get install$missing" >&2
    exit 1
fi
echo "Installing$missing"
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -q || echo "apt-get update failed; trying with the package lists at hand" >&2
# shellcheck disable=SC2086  # the list is meant to be split
$sudo apt-get install -q -y --no-install-recommends $missing || {
    echo "These packages could not be installed; install them by hand and run make again:$missing" >&2
    exit 1
}
