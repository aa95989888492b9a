#include "bench/measure.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <utility>
#include <variant>

#include "base/assert.h"
#include "engine/parts.h"

namespace woolly::bench {
namespace {

/// At `share` of the way from the smallest to the largest; `sorted` is not empty.
double quantile(const std::vector<double>& sorted, double share) {
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

}  // namespace

std::string Test::name() const {
  return fmt::format("{}{}{}{}", kind == Kind::kPrompt ? "pp" : "tg", n,
                     n_sequences > 1 ? fmt::format("x{}", n_sequences) : "", depth > 0 ? fmt::format("@{}", depth) : "");
}

Summary summarize(std::vector<double> values) {
  WOOLLY_ASSERT(!values.empty());
  std::ranges::sort(values);
  const double median = quantile(values, 0.5);
  return {median, median > 0 ? (quantile(values, 0.75) - quantile(values, 0.25)) / median : 0};
}

ModelWork work_of(const Model& model, KvType kv_type) {
  const plan::Plan& plan = model.parts().plan;
  ModelWork work;
  bool is_selected = false;
  for (const plan::Step& step : plan.steps) {
    if (std::holds_alternative<plan::SelectRows>(step.op)) is_selected = true;
    // Of a stack, what one token goes through.
    const auto add = [&](plan::MatrixId id, std::uint64_t n_used) {
      const plan::PackedMatrix& matrix = plan.matrices[id.index];
      work.matrix_bytes += matrix.bytes() / matrix.n * n_used;
      (is_selected ? work.parameters_of_last_token : work.parameters_of_each_token) +=
          n_used * matrix.n_rows * matrix.n_cols;
    };
    const std::uint64_t n_used = plan.spec.experts.n_used;
    if (const auto* linear = std::get_if<plan::Linear>(&step.op)) {
      for (const plan::Projection& projection : linear->projections) add(projection.matrix, 1);
    }
    if (const auto* heads = std::get_if<plan::LinearHeads>(&step.op)) {
      add(heads->matrices, plan.matrices[heads->matrices.index].n);
    }
    if (const auto* route = std::get_if<plan::Route>(&step.op)) {
      add(route->router, 1);
      if (route->shared_gate) add(*route->shared_gate, 1);
    }
    if (const auto* experts = std::get_if<plan::ExpertsUp>(&step.op)) {
      add(experts->gate.matrix, n_used);
      add(experts->up.matrix, n_used);
    }
    if (const auto* experts = std::get_if<plan::ExpertsDown>(&step.op)) add(experts->down.matrix, n_used);
  }
  const exec::KvLayout layout = kv_layout(plan, kv_type);
  work.cache_bytes_per_position =
      layout.n_layers * layout.n_kv_heads * (layout.key_bytes() + layout.value_bytes()) / kernels::kKvBlock;
  return work;
}

double roof_share(const Test& test, double tokens_per_second, const ModelWork& work, const Roof& roof) {
  const auto n = static_cast<double>(test.n);
  if (test.kind == Test::Kind::kGenerate) {
    const auto n_sequences = static_cast<double>(test.n_sequences);
    // Step i, from 1 to n, reads i positions after the past.
    const double mean_positions = static_cast<double>(test.depth) + (n + 1) / 2;
    const double bytes = static_cast<double>(work.matrix_bytes) +
                         n_sequences * static_cast<double>(work.cache_bytes_per_position) * mean_positions;
    return bytes * tokens_per_second / n_sequences / roof.read_bytes_per_second;
  }
  const double ops =
      2 * (static_cast<double>(work.parameters_of_each_token) * n + static_cast<double>(work.parameters_of_last_token));
  return ops / n * tokens_per_second / roof.integer_ops_per_second;
}

Result<Runner> Runner::create(std::shared_ptr<const Model> model, std::span<const Test> tests, SessionOptions options) {
  options.n_ctx = 1;
  options.max_logit_rows = 1;
  std::size_t n_tokens = 1;
  for (const Test& test : tests) {
    if (test.n_sequences > options.chunk) {
      return Error{ErrorCode::kInvalidArgument, fmt::format("{}: a step of {} sequences, the chunk is {} tokens",
                                                            test.name(), test.n_sequences, options.chunk)};
    }
    options.n_ctx = std::max(options.n_ctx, test.depth + test.n);
    options.max_logit_rows = std::max(options.max_logit_rows, test.n_sequences);
    n_tokens = std::max(n_tokens, test.depth + test.n_sequences * test.n);
  }
  // Any ids will do, as long as they are the same for every run; the seed has no meaning.
  std::mt19937 random(20240229);
  std::vector<TokenId> tokens(n_tokens);
  for (TokenId& token : tokens) token.value = static_cast<std::int32_t>(random() % model->vocab_size());
  WOOLLY_TRY(std::unique_ptr<Session> session, Session::create(std::move(model), options));
  return Runner(std::move(session), std::move(tokens));
}

/// Pasts are copies, not forks, whose blocks would come from caches for all but one; computing each would take long.
Status Runner::take_past(const Test& test) {
  while (sessions_.size() < test.n_sequences) {
    WOOLLY_TRY(std::unique_ptr<Session> sibling, sessions_[0]->sibling());
    sessions_.push_back(std::move(sibling));
  }
  std::vector<std::byte> past;
  for (std::size_t i = 0; i < test.n_sequences; ++i) {
    Session& session = *sessions_[i];
    if (session.n_tokens() > test.depth) session.truncate(test.depth);
    const std::size_t done = session.n_tokens();
    if (done == test.depth) continue;
    if (i == 0) {
      WOOLLY_CHECK(session.append(std::span(tokens_).subspan(done, test.depth - done)));
    } else {
      if (past.empty()) past = sessions_[0]->save();
      WOOLLY_CHECK(session.restore(past));
    }
  }
  return {};
}

Result<double> Runner::run(const Test& test) {
  WOOLLY_ASSERT(test.n > 0 && test.depth + test.n_sequences * test.n <= tokens_.size());
  WOOLLY_CHECK(take_past(test));
  const std::span<const TokenId> tokens = std::span(tokens_).subspan(test.depth);
  std::vector<Turn> turns;
  for (std::size_t i = 0; i < test.n_sequences; ++i) turns.push_back({sessions_[i].get(), {}});
  const auto begin = std::chrono::steady_clock::now();
  if (test.kind == Test::Kind::kPrompt) {
    WOOLLY_CHECK(session().append(tokens.first(test.n)));
  } else {
    for (std::size_t step = 0; step < test.n; ++step) {
      for (std::size_t i = 0; i < turns.size(); ++i) turns[i].tokens = tokens.subspan(i * test.n + step, 1);
      WOOLLY_CHECK(Session::step(turns));
    }
  }
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
  for (const Turn& turn : turns) turn.session->truncate(test.depth);
  return static_cast<double>(test.n_sequences * test.n) / time.count();
}

}  // namespace woolly::bench
