#include "woolly/session.h"

#include <fmt/format.h>

#include <algorithm>
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

/// Room for what every turn appends; where there is none, nothing is left taken.
Status reserve(std::span<const Turn> turns) {
  for (const Turn& turn : turns) {
    exec::Sequence& sequence = *turn.session->parts().sequence;
    const Status status = sequence.reserve(sequence.missing().size() + turn.tokens.size());
    if (status) continue;
    for (const Turn& each : turns) each.session->truncate(each.session->n_tokens());
    return status;
  }
  return {};
}

/// Computes what a sequence went back behind, in passes of its own.
void catch_up(const Session::Parts& parts) {
  auto& [tokens, slices, logit_rows] = *parts.storage;
  while (!parts.sequence->missing().empty()) {
    const std::span<const TokenId> missing = parts.sequence->missing();
    const auto next = missing.first(std::min(missing.size(), parts.options.chunk));
    tokens.assign(next.begin(), next.end());
    slices.assign({{parts.sequence.get(), 0, tokens.size()}});
    parts.executor->run({tokens, slices, {}});
  }
}

/// One pass over turns that are checked and have room. What sequences went back behind goes before, where it fits. kIo: the
/// numbers are wrong, and so is what the sequences hold.
Result<Logits> run(std::span<const Turn> turns) {
  const Session::Parts& family = turns[0].session->parts();
  std::size_t n_rows = 0;
  for (const Turn& turn : turns) n_rows += turn.session->parts().sequence->missing().size() + turn.tokens.size();
  if (n_rows > family.options.chunk) {
    for (const Turn& turn : turns) catch_up(turn.session->parts());
  }
  auto& [tokens, slices, logit_rows] = *family.storage;
  tokens.clear();
  slices.clear();
  logit_rows.clear();
  for (const Turn& turn : turns) {
    exec::Sequence& sequence = *turn.session->parts().sequence;
    const std::span<const TokenId> missing = sequence.missing();
    slices.push_back({&sequence, tokens.size(), missing.size() + turn.tokens.size()});
    tokens.insert(tokens.end(), missing.begin(), missing.end());
    tokens.insert(tokens.end(), turn.tokens.begin(), turn.tokens.end());
    for (std::size_t i = turn.n_logits; i > 0; --i) {
      logit_rows.push_back(static_cast<std::uint32_t>(tokens.size() - i));
    }
  }
  const Logits logits = family.executor->run({tokens, slices, logit_rows});
  WOOLLY_CHECK(family.model->parts().weights.check());
  return logits;
}

/// All but the room in the cache.
Status check_turns(std::span<const Turn> turns) {
  const auto refuse = [](std::size_t i, std::string_view why) {
    return Error{ErrorCode::kInvalidArgument, fmt::format("turn {}: {}", i, why)};
  };
  if (turns.empty()) return Error{ErrorCode::kInvalidArgument, "no turns: a step needs at least one"};
  std::size_t n_tokens = 0, n_logits = 0;
  for (std::size_t i = 0; i < turns.size(); ++i) {
    const Turn& turn = turns[i];
    if (turn.session == nullptr) return refuse(i, "no session");
    const Session::Parts& parts = turn.session->parts();
    if (parts.executor != turns[0].session->parts().executor) return refuse(i, "the session is not of turn 0's family");
    for (std::size_t j = 0; j < i; ++j) {
      if (turns[j].session == turn.session) return refuse(i, fmt::format("the session has turn {} already", j));
    }
    if (const Status status = check_tokens(turn.tokens, parts.model->vocab_size()); !status) {
      return refuse(i, status.error().message);
    }
    if (turn.n_logits > turn.tokens.size()) {
      return refuse(i, fmt::format("logits after {} tokens, of {} that it has", turn.n_logits, turn.tokens.size()));
    }
    n_tokens += turn.tokens.size();
    n_logits += turn.n_logits;
  }
  const SessionOptions& options = turns[0].session->parts().options;
  WOOLLY_CHECK(check_range("tokens of a step", n_tokens, 1, options.chunk));
  return check_range("rows of logits of a step", n_logits, 0, options.max_logit_rows);
}

/// Another session of the same family.
std::unique_ptr<Session::Parts> relative(const Session::Parts& of, std::unique_ptr<exec::Sequence> sequence) {
  return std::make_unique<Session::Parts>(
      Session::Parts{of.model, of.options, of.executor, of.cache, of.storage, std::move(sequence)});
}

}  // namespace

const kernels::KvKernels& kv_kernels(const kernels::KernelTable& table, KvType type) {
  switch (type) {
    case KvType::kF32: return *table.kv(quant::DType::kF32);
    case KvType::kBF16: return *table.kv(quant::DType::kBF16);
    case KvType::kQ8_0: return *table.kv(quant::DType::kQ8_0);
    case KvType::kF16: break;
  }
  return *table.kv(quant::DType::kF16);
}

exec::KvLayout kv_layout(const plan::Plan& plan, KvType type) {
  return {&kv_kernels(*plan.kernels, type), plan.n_kv_layers, plan.spec.n_kv_heads, plan.spec.head_dim,
          plan.spec.value_dim, static_cast<std::size_t>(plan.state_floats)};
}

Result<std::unique_ptr<Session>> Session::create(std::shared_ptr<const Model> model, const SessionOptions& options) {
  const Model::Parts& of = model->parts();
  auto parts = std::make_unique<Parts>();
  parts->options = options;
  if (options.n_ctx == 0) parts->options.n_ctx = model->context_length();
  WOOLLY_CHECK(check_range("context", parts->options.n_ctx, 1, kMaxContext));
  WOOLLY_CHECK(check_range("chunk", options.chunk, 1, kMaxChunk));
  WOOLLY_CHECK(check_range("max_logit_rows", options.max_logit_rows, 1, options.chunk));

  const exec::KvLayout layout = kv_layout(of.plan, options.kv_type);
  const plan::Limits limits{options.chunk, options.max_logit_rows, parts->options.n_ctx};
  WOOLLY_TRY(parts->executor,
             exec::Executor::create(of.plan, of.weights, *of.engine->parts().pool, limits, layout));
  parts->cache = std::make_shared<exec::KvCache>(layout, options.kv_budget);
  parts->sequence = std::make_unique<exec::Sequence>(parts->cache, parts->options.n_ctx);
  parts->storage = std::make_shared<StepStorage>();
  parts->storage->tokens.reserve(options.chunk);
  parts->storage->slices.reserve(options.chunk);
  parts->storage->logit_rows.reserve(options.max_logit_rows);
  parts->model = std::move(model);
  return std::unique_ptr<Session>(new Session(std::move(parts)));
}

Session::Session(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Session::~Session() = default;

std::size_t Session::n_tokens() const noexcept { return parts_->sequence->length(); }
std::size_t Session::n_ctx() const noexcept { return parts_->options.n_ctx; }

Result<std::span<const float>> Session::append(std::span<const TokenId> tokens) {
  WOOLLY_CHECK(check_tokens(tokens, parts_->model->vocab_size()));
  Turn turn{this, tokens};
  WOOLLY_CHECK(reserve({&turn, 1}));
  for (; tokens.size() > parts_->options.chunk; tokens = tokens.subspan(parts_->options.chunk)) {
    turn = {this, tokens.first(parts_->options.chunk), 0};
    WOOLLY_CHECK(run({&turn, 1}));
  }
  turn = {this, tokens, 1};
  WOOLLY_TRY(const Logits logits, run({&turn, 1}));
  return logits.row(0);
}

Status Session::append_each(std::span<const TokenId> tokens,
                            const std::function<void(std::size_t index, std::span<const float> logits)>& visit) {
  WOOLLY_CHECK(check_tokens(tokens, parts_->model->vocab_size()));
  Turn turn{this, tokens};
  WOOLLY_CHECK(reserve({&turn, 1}));
  for (std::size_t index = 0; !tokens.empty(); tokens = tokens.subspan(turn.n_logits)) {
    const std::size_t n = std::min(tokens.size(), parts_->options.max_logit_rows);
    turn = {this, tokens.first(n), n};
    WOOLLY_TRY(const Logits logits, run({&turn, 1}));
    for (std::size_t i = 0; i < n; ++i) visit(index++, logits.row(i));
  }
  return {};
}

Result<Logits> Session::step(std::span<const Turn> turns) {
  WOOLLY_CHECK(check_turns(turns));
  WOOLLY_CHECK(reserve(turns));
  return run(turns);
}

void Session::truncate(std::size_t n_tokens) { parts_->sequence->truncate(n_tokens); }

Result<std::unique_ptr<Session>> Session::fork() const {
  return std::unique_ptr<Session>(new Session(relative(*parts_, parts_->sequence->fork())));
}

Result<std::unique_ptr<Session>> Session::sibling() const {
  auto sequence = std::make_unique<exec::Sequence>(parts_->cache, parts_->options.n_ctx);
  return std::unique_ptr<Session>(new Session(relative(*parts_, std::move(sequence))));
}

std::vector<std::byte> Session::save() const { return parts_->sequence->save(parts_->model->parts().fingerprint); }

Status Session::restore(std::span<const std::byte> state) {
  return parts_->sequence->restore(state, parts_->model->parts().fingerprint, parts_->model->vocab_size());
}

}  // namespace woolly
