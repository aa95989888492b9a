// Chooses the kernel table, once, at start.
#pragma once

#include <span>
#include <string_view>

#include "kernels/kernel_table.h"
#include "woolly/error.h"

namespace woolly::kernels {

/// The tables that this processor can run, weakest first; the scalar one always comes first.
std::span<const KernelTable* const> available_tables();

/// An available table by its name. A name that is not known or that this processor lacks is an error that lists the
/// allowed ones.
Result<const KernelTable*> find_table(std::string_view name);

/// The best available table, which is the last but where that is slower on this processor, or the one that the
/// environment asks for: WOOLLY_DISABLE_SIMD=1 means scalar, WOOLLY_ISA=NAME that table; errors are those of find_table.
Result<const KernelTable*> choose_table();

}  // namespace woolly::kernels
