// The state space of Mamba-2 (https://arxiv.org/abs/2405.21060), as a branch of a layer.
#pragma once

#include <string>

#include "model/spec.h"
#include "plan/graph.h"

namespace woolly::arch {

/// Of the keys `ssm.*`: spec.recurrent and spec.conv_taps.
Status read_state_space(const gguf::Metadata& metadata, model::Spec& spec);

/// Rows of `ssm_in`: gates, what is convolved (values, keys and queries), and steps.
std::uint64_t state_space_width(const model::Spec& spec);

/// Of `in`, which has these columns, to what `ssm_out` reads. Keys and queries are of groups of consecutive heads. Where the
/// file has no `ssm_norm` there is none.
plan::BufferId write_state_space(plan::GraphBuilder& graph, const std::string& layer, plan::BufferId in);

}  // namespace woolly::arch
