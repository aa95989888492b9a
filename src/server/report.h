// Parts of answers that several dialects have.
#pragma once

#include <chrono>
#include <span>
#include <string>
#include <string_view>

#include "serve/scheduler.h"
#include "server/answer.h"
#include "server/json.h"
#include "woolly/tokenizer.h"

namespace woolly::server {

/// The `timings` of an answer, in milliseconds, and counts of tokens. The times sum to the wall time.
Json timings_json(const serve::Timings& timings);

/// Tokens with their logarithms of probabilities, as OpenAI's chat and Ollama have them:
/// [{token, logprob, bytes, top_logprobs: [{token, logprob, bytes}]}].
Json logprobs_json(const Tokenizer& tokenizer, std::span<const serve::Piece> pieces);

/// A message of server-sent events; without `event` only its data.
std::string sse(std::string_view data, std::string_view event = "");

/// As RFC 3339 has it, in UTC with nanoseconds: "2026-11-25T10:20:30.000000000Z".
std::string timestamp(std::chrono::system_clock::time_point time);
std::chrono::system_clock::time_point modified(const serve::Card& card);

/// "req-12" to "<prefix>12".
std::string id_with(std::string_view prefix, std::string_view request_id);

}  // namespace woolly::server
