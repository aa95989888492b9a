#include "woolly/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "engine/parts.h"

namespace woolly {
namespace {

Status check_range(std::string_view name, std::size_t value, std::size_t min, std::size_t max) {
  if (value >= min && value <= max) return {};
  return Error{ErrorCode::kInvalidArgument, fmt::format("{} is {}, allowed are {} to {}", name, value, min, max)};
}

Status check_tokens(std::span<const TokenId> tokens, std::size_t vocab_size) {
  if (tokens.empty()) return Error{ErrorCode::kInvalidArgument, "no tokens: a sequence needs at least one to continue"};
  for (const TokenId token : tokens) {
    if (token.value < 0 || static_cast<std::size_t>(token.value) >= vocab_size) {
      return Error{ErrorCode::kInvalidArgument,
                   fmt::format("token id {}: allowed are 0 to {}", token.value, vocab_size - 1)};
    }
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Session>> Session::create(std::shared_ptr<const Model> model, const SessionOptions& options) {
  const Model::Parts& of = model->parts();
  auto parts = std::make_unique<Parts>();
  parts->options = options;
  if (options.n_ctx == 0) parts->options.n_ctx = model->context_length();
  WOOLLY_CHECK(check_range("context", parts->options.n_ctx, 1, kMaxContext));
  WOOLLY_CHECK(check_range("chunk", options.chunk, 1, kMaxChunk));
  WOOLLY_CHECK(check_range("max_logit_rows", options.max_logit_rows, 1, options.chunk));
  parts->options.chunk = std::min(options.chunk, parts->options.n_ctx);
  parts->options.max_logit_rows = std::min(options.max_logit_rows, parts->options.chunk);

  const kernels::KernelTable& table = *of.plan.kernels;
  const exec::KvLayout layout{options.kv_type == KvType::kF32 ? &table.kv_f32 : &table.kv_f16, of.plan.spec.n_layers,
                              of.plan.spec.n_kv_heads, of.plan.spec.head_dim};
  const plan::Limits limits{parts->options.chunk, parts->options.max_logit_rows};
  WOOLLY_TRY(parts->executor,
             exec::Executor::create(of.plan, of.weights, *of.engine->parts().pool, limits, layout));
  parts->cache = std::make_shared<exec::KvCache>(layout);
  parts->sequence = std::make_unique<exec::Sequence>(parts->cache, parts->options.n_ctx);
  parts->logit_rows.resize(parts->options.max_logit_rows);
  std::iota(parts->logit_rows.begin(), parts->logit_rows.end(), 0U);
  parts->model = std::move(model);
  return std::unique_ptr<Session>(new Session(std::move(parts)));
}

Session::Session(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Session::~Session() = default;

std::size_t Session::n_tokens() const noexcept { return parts_->sequence->n_tokens(); }
std::size_t Session::n_ctx() const noexcept { return parts_->options.n_ctx; }

Result<std::span<const float>> Session::append(std::span<const TokenId> tokens) {
  WOOLLY_CHECK(check_tokens(tokens, parts_->model->vocab_size()));
  WOOLLY_CHECK(parts_->sequence->reserve(tokens.size()));
  exec::Logits logits;
  while (!tokens.empty()) {
    const std::size_t n = std::min(tokens.size(), parts_->options.chunk);
    const std::uint32_t last = static_cast<std::uint32_t>(n) - 1;
    const exec::Slice slice{parts_->sequence.get(), 0, n};
    const bool is_last_chunk = n == tokens.size();
    logits = parts_->executor->run({.tokens = tokens.first(n),
                                    .slices = {&slice, 1},
                                    .logit_rows = {&last, is_last_chunk ? 1U : 0U}});
    tokens = tokens.subspan(n);
  }
  return logits.row(0);
}

Status Session::append_each(std::span<const TokenId> tokens,
                            const std::function<void(std::size_t index, std::span<const float> logits)>& visit) {
  WOOLLY_CHECK(check_tokens(tokens, parts_->model->vocab_size()));
  WOOLLY_CHECK(parts_->sequence->reserve(tokens.size()));
  std::size_t index = 0;
  while (!tokens.empty()) {
    const std::size_t n = std::min(tokens.size(), parts_->options.max_logit_rows);
    const exec::Slice slice{parts_->sequence.get(), 0, n};
    const exec::Logits logits = parts_->executor->run({.tokens = tokens.first(n),
                                                       .slices = {&slice, 1},
                                                       .logit_rows = std::span(parts_->logit_rows).first(n)});
    for (std::size_t i = 0; i < n; ++i) visit(index++, logits.row(i));
    tokens = tokens.subspan(n);
  }
  return {};
}

void Session::truncate(std::size_t n_tokens) { parts_->sequence->truncate(n_tokens); }

Result<std::unique_ptr<Session>> Session::fork() const {
  auto parts = std::make_unique<Parts>();
  parts->model = parts_->model;
  parts->options = parts_->options;
  parts->executor = parts_->executor;
  parts->cache = parts_->cache;
  parts->sequence = parts_->sequence->fork();
  parts->logit_rows = parts_->logit_rows;
  return std::unique_ptr<Session>(new Session(std::move(parts)));
}

std::vector<std::byte> Session::save() const { return parts_->sequence->save(parts_->model->parts().fingerprint); }

Status Session::restore(std::span<const std::byte> state) {
  return parts_->sequence->restore(state, parts_->model->parts().fingerprint);
}

}  // namespace woolly
