#!/bin/sh
# One line that changes with whatever decides what is in the app: the files of packaging/, and what is installed.
set -eu
cd "$(dirname "$0")/.."
git ls-files packaging pyproject.toml constraints.txt | LC_ALL=C sort | while IFS= read -r file; do
    [ "$file" = packaging/proven ] || { echo "$file" && git hash-object -- "$file"; }
done | git hash-object --stdin
