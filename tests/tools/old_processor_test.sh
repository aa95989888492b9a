#!/bin/sh
# old_processor_test.sh <woolly> <fixture with an AVX2 instruction> <model below WOOLLY_SHARED>
# The program on an emulated processor that has SSE4.2 and nothing newer: one stray instruction of a newer set in code
# that every processor runs ends it.
set -u
unset WOOLLY_ISA WOOLLY_DISABLE_SIMD
woolly=$1 avx2=$2 model=${WOOLLY_SHARED:-$(dirname "$0")/../../../shared}/$3

fail() {
  echo "$1; it said: $output" >&2
  exit 1
}
skip() {
  echo "$1" >&2
  [ -n "${CI:-}" ] && exit 1
  exit 77
}
emulated() {
  qemu-x86_64 -cpu Nehalem "$@"
}

command -v qemu-x86_64 >/dev/null || skip "no qemu-x86_64; scripts/setup installs it"
[ -e "$model" ] || skip "no $model; set WOOLLY_SHARED"

# qemu dumps core where it meets an instruction that the processor lacks.
ulimit -c 0
output=$(emulated "$avx2" 2>&1) && fail "the emulator ran AVX2, so it shows nothing"

output=$(emulated "$woolly" --version 2>&1) || fail "--version failed"
case $output in
  *"scalar kernels"*) ;;
  *) fail "the scalar kernels were not chosen" ;;
esac

text=$(emulated "$woolly" run "$model" -p "Once upon a time" -n 16 --temp 0 2>/dev/null) || fail "a run failed"
output=$("$woolly" run "$model" -p "Once upon a time" -n 16 --temp 0 2>/dev/null) || fail "a run on this processor failed"
[ -n "$text" ] && [ "$text" = "$output" ] || fail "the text was \"$text\", on this processor it is another one"

output=$(WOOLLY_ISA=avx2 emulated "$woolly" --version 2>&1) && fail "kernels that the processor lacks were accepted"
case $output in
  *"this processor lacks it; it has scalar") ;;
  *) fail "the missing kernels were not named" ;;
esac
