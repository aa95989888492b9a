// A row of the table of matrix kernels.
#pragma once

#include "kernels/impl/matmul.inl.h"
#include "kernels/impl/matmul_rows.inl.h"
#include "kernels/impl/pack.inl.h"

namespace woolly::kernels::WOOLLY_ISA {
namespace {

/// kPanel: another type whose panels are multiplied alike.
template <DType kType, DType kPanel = kType>
constexpr MatmulKernel kernel() {
  constexpr bool kHasCodesInRows = [] {
    if constexpr (kIsFloat<kType>) {
      return false;
    } else {
      return !panel_format(kType).is_flat();
    }
  }();
  if constexpr (kHasCodesInRows) {
    return {kType, Unpack<kType>::kAct, run_of<kPanel>(), run_rows<kType>, pack_panel<kType>};
  } else {
    return {kType, Unpack<kType>::kAct, run_of<kPanel>(), nullptr, pack_panel<kType>};
  }
}

}  // namespace
}  // namespace woolly::kernels::WOOLLY_ISA
