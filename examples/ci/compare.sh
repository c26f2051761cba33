#!/usr/bin/env bash
# Measure two installations of perflab in turns on this machine, and compare them.
#
#   compare.sh BASE HEAD OUTPUT [ROUNDS] [BENCH...]
#
# BASE and HEAD are their `perflab` commands. Base goes first in odd rounds and head in even ones, so that what the
# machine does in the meantime meets both. Writes OUTPUT/comment.md, and exits as `perflab compare` of head does:
# 0 pass, 1 regression, 2 inconclusive, 3 could not measure.
set -u

base=$1 head=$2 output=$3 rounds=${4:-8}
shift $(($# < 4 ? $# : 4))
if [ $# -eq 0 ]; then set -- enqueue claim done; fi

measure() { # SIDE COMMAND ROUND BENCH...
    local side=$1 command=$2 round=$3
    shift 3
    "$command" bench "$@" --blocks 6 --seed "$((10#$round))" --output "$output/$side/$round" >"$output/$side.log" 2>&1
    # 1 says that a call is over its limit against the raw driver, which is not what is asked here
    [ $? -le 1 ] || { cat "$output/$side.log" >&2; exit 3; }
}

[ ! -e "$output" ] || { echo "compare.sh: $output is there already: name another folder" >&2; exit 3; }
mkdir -p "$output/base" "$output/head" || exit 3
for round in $(seq -w 1 "$rounds"); do
    if [ $((10#$round % 2)) -eq 1 ]; then
        measure base "$base" "$round" "$@"
        measure head "$head" "$round" "$@"
    else
        measure head "$head" "$round" "$@"
        measure base "$base" "$round" "$@"
    fi
done
"$head" compare "$output/base" "$output/head" --format markdown >"$output/comment.md"
verdict=$?
cat "$output/comment.md"
exit $verdict
