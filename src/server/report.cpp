#include "server/report.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

namespace woolly::server {
namespace {

Json token_json(const Tokenizer& tokenizer, TokenId id, float logprob) {
  const std::string_view piece = tokenizer.piece(id, true);
  Json bytes = Json::array();
  for (const char byte : piece) bytes.push_back(static_cast<unsigned char>(byte));
  return {{"token", piece}, {"logprob", logprob}, {"bytes", std::move(bytes)}};
}

}  // namespace

Json timings_json(const serve::Timings& timings) {
  constexpr double kMilliseconds = 1e3;
  return {{"queued_ms", timings.queued * kMilliseconds},
          {"load_ms", timings.load * kMilliseconds},
          {"prefill_ms", timings.prefill * kMilliseconds},
          {"decode_ms", timings.decode * kMilliseconds},
          {"sampling_ms", timings.sampling * kMilliseconds},
          {"prompt_tokens", timings.n_prompt},
          {"cached_tokens", timings.n_cached},
          {"generated_tokens", timings.n_generated}};
}

Json logprobs_json(const Tokenizer& tokenizer, std::span<const serve::Piece> pieces) {
  Json tokens = Json::array();
  for (const serve::Piece& piece : pieces) {
    Json& token = tokens.emplace_back(token_json(tokenizer, piece.id, piece.logprob));
    Json& top = token["top_logprobs"] = Json::array();
    for (const serve::TokenProb& other : piece.top) top.push_back(token_json(tokenizer, other.id, other.logprob));
  }
  return tokens;
}

std::string sse(std::string_view data, std::string_view event) {
  return event.empty() ? fmt::format("data: {}\n\n", data) : fmt::format("event: {}\ndata: {}\n\n", event, data);
}

std::string timestamp(std::chrono::system_clock::time_point time) {
  using std::chrono::duration_cast;
  using std::chrono::nanoseconds;
  using std::chrono::seconds;
  const auto whole = std::chrono::floor<seconds>(time);
  return fmt::format("{:%FT%T}.{:09}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(whole)),
                     duration_cast<nanoseconds>(time - whole).count());
}

std::chrono::system_clock::time_point modified(const serve::Card& card) {
  return std::chrono::time_point_cast<std::chrono::system_clock::duration>(
      std::chrono::file_clock::to_sys(card.modified));
}

std::string id_with(std::string_view prefix, std::string_view request_id) {
  constexpr std::string_view kOurs = "req-";
  if (request_id.starts_with(kOurs)) request_id.remove_prefix(kOurs.size());
  return fmt::format("{}{}", prefix, request_id);
}

}  // namespace woolly::server
