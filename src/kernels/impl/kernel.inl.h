// A row of the table of matrix kernels.
#pragma once

#include "kernels/impl/matmul.inl.h"
#include "kernels/impl/matmul_rows.inl.h"
#include "kernels/impl/pack.inl.h"

namespace woolly::kernels::WOOLLY_ISA {
namespace {

template <DType kType>
constexpr MatmulKernel kernel() {
  if constexpr (kIsFloat<kType>) {
    return {kType, Unpack<kType>::kAct, run_of<kType>(), nullptr, pack_panel<kType>};
  } else {
    return {kType, Unpack<kType>::kAct, run_of<kType>(), run_rows<kType>, pack_panel<kType>};
  }
}

}  // namespace
}  // namespace woolly::kernels::WOOLLY_ISA
