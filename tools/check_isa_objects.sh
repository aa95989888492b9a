#!/bin/sh
# check_isa_objects.sh <object>...: an object that is compiled for more than the lowest processor must define no weak
# symbol. The linker keeps one copy of a weak symbol for the whole program; were it this one, an older processor would
# stop at an instruction that it does not have. Optimization hides them by inlining, so -O0 objects are the ones to give.
# Exits with 1 if there is one, 2 if the check could not be made.
set -u
nm=${NM:-nm}
if [ $# -eq 0 ]; then
  echo "check_isa_objects.sh: no objects given" >&2
  exit 2
fi
status=0
for object in "$@"; do
  symbols=$("$nm" -C --defined-only "$object") || exit 2
  if [ -z "$symbols" ]; then  # link-time optimization, or not what we think it is
    echo "$object: defines nothing" >&2
    exit 2
  fi
  # W: weak; V: weak object; u: unique across the process
  if weak=$(printf '%s\n' "$symbols" | grep -E '^[0-9a-f]+ [WVu] '); then
    printf '%s\n' "$weak" | sed "s|^[0-9a-f]* . |$object: weak symbol |"
    status=1
  fi
done
exit $status
