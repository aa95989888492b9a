#!/bin/sh
# check_isa_objects_test.sh <check_isa_objects.sh> <object without weak symbols> <object with one>
set -u
checker=$1 strong=$2 weak=$3

fail() {
  echo "$1; it said: $output" >&2
  exit 1
}

output=$("$checker" "$strong" 2>&1) || fail "an object without weak symbols was reported"
[ -z "$output" ] || fail "there was output for an object without weak symbols"

output=$("$checker" "$strong" "$weak" 2>&1)
[ $? -eq 1 ] || fail "a weak symbol was not reported by the exit status"
case $output in
  "$weak: weak symbol shared_square(int)") ;;
  *) fail "the weak symbol was not named" ;;
esac

output=$("$checker" 2>&1)
[ $? -eq 2 ] || fail "no objects at all were accepted"
output=$("$checker" "$strong" /nonexistent.o 2>&1)
[ $? -eq 2 ] || fail "a missing object was accepted"
