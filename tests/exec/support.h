// Tiny models, loaded.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "engine/parts.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace woolly::test {

inline std::vector<TokenId> some_tokens(std::size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<TokenId> tokens;
  for (std::size_t i = 0; i < n; ++i) tokens.push_back({static_cast<std::int32_t>(random() % 70)});
  return tokens;
}

struct Loaded {
  std::unique_ptr<Engine> engine;
  std::shared_ptr<const Model> model;

  explicit Loaded(const std::filesystem::path& path, std::size_t n_threads = 2, LoadOptions options = {}) {
    auto created = Engine::create({.n_threads = n_threads});
    EXPECT_TRUE(created) << created.error().message;
    engine = std::move(created).value();
    auto loaded = Model::load(*engine, path, options);
    EXPECT_TRUE(loaded) << loaded.error().message;
    model = std::move(loaded).value();
  }
};

}  // namespace woolly::test
