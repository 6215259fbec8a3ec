#!/bin/sh
# One line that changes with whatever decides what is in the app: the files of packaging/, and what is installed.
set -eu
cd "$(dirname "$0")/.."
# Of pyproject.toml all but what only linters and tests read: a new room's wall changes no app.
decisive() {
    awk 'BEGIN { wanted = 1 } /^\[/ { wanted = !/^\[+tool\.(ruff|mypy|pytest|importlinter)[].]/ } wanted' "$1"
}
git ls-files packaging pyproject.toml constraints.txt | LC_ALL=C sort | while IFS= read -r file; do
    case "$file" in
    packaging/proven) ;;
    pyproject.toml) echo "$file" && decisive "$file" | git hash-object --stdin ;;
    *) echo "$file" && git hash-object -- "$file" ;;
    esac
done | git hash-object --stdin
