// Engines with a chosen kernel table, and models of the reference files.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/dispatch.h"
#include "support/shared.h"
#include "woolly/model.h"
#include "woolly/session.h"

namespace woolly::test {

/// The names of the tables that this processor can run.
inline std::vector<std::string> table_names() {
  std::vector<std::string> names;
  for (const kernels::KernelTable* table : kernels::available_tables()) names.emplace_back(table->name);
  return names;
}

inline std::unique_ptr<Engine> make_engine(const std::string& isa, std::size_t n_threads) {
  setenv("WOOLLY_ISA", isa.c_str(), 1);
  auto engine = Engine::create({.n_threads = n_threads});
  unsetenv("WOOLLY_ISA");
  EXPECT_TRUE(engine) << engine.error().message;
  return std::move(engine).value();
}

inline std::shared_ptr<const Model> load(Engine& engine, const std::string& path, LoadOptions options = {}) {
  auto model = Model::load(engine, shared(path), options);
  EXPECT_TRUE(model) << model.error().message;
  return std::move(model).value();
}

inline std::unique_ptr<Session> make_session(std::shared_ptr<const Model> model, SessionOptions options = {}) {
  auto session = Session::create(std::move(model), options);
  EXPECT_TRUE(session) << session.error().message;
  return std::move(session).value();
}

inline std::vector<TokenId> ids(const std::vector<std::int32_t>& values) {
  std::vector<TokenId> tokens;
  for (const std::int32_t value : values) tokens.push_back({value});
  return tokens;
}

/// Logits of every token, [tokens * vocab].
inline std::vector<float> all_logits(Session& session, std::span<const TokenId> tokens) {
  std::vector<float> logits;
  const Status status = session.append_each(
      tokens, [&](std::size_t, std::span<const float> row) { logits.insert(logits.end(), row.begin(), row.end()); });
  EXPECT_TRUE(status) << status.error().message;
  return logits;
}

}  // namespace woolly::test
