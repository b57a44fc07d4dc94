#!/bin/sh
# Makes one static library of which nothing is seen but seriatim_*: merge.sh OUT SDK OTHER...
# The first archive goes in whole, of the others what it needs.
set -eu
out=$1
sdk=$2
shift 2
object=$out.o
ld -r -o "$object" --whole-archive "$sdk" --no-whole-archive --start-group "$@" --end-group
objcopy --wildcard --keep-global-symbol='seriatim_*' "$object"
rm -f "$out"
ar rcs "$out" "$object"
rm -f "$object"
