// What the commands that look at every token's logits share.
#pragma once

#include <cstddef>
#include <span>

#include "woolly/error.h"
#include "woolly/model.h"

namespace woolly::cli {

/// kInvalidArgument for the first of `tokens`, as --tokens gave them, that is outside of the vocabulary.
Status check_token_ids(std::span<const TokenId> tokens, const Model& model);

/// Rows of logits for one step: as many as `chunk`, but no more than 64 MiB of them.
std::size_t logit_rows_for(const Model& model, std::size_t chunk);

/// The natural logarithm of the probability that the softmax of `logits` gives `token`, in double. NaN where a logit
/// is.
double log_probability(std::span<const float> logits, TokenId token);

}  // namespace woolly::cli
