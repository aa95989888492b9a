// Nothing is allocated on the token path: this program counts calls of operator new. Not part of sanitizer builds, which
// bring their own.
#include <atomic>
#include <cstdlib>
#include <new>

#include "engine/support.h"
#include "sample/sampler.h"
#include "speculate/generator.h"
#include "speculate/lookup_drafter.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace {
std::atomic<std::size_t> n_allocations{0};
}

// Not inlined: g++ would warn of a free for what operator new gave.
[[gnu::noinline]] void* operator new(std::size_t size) {
  n_allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* p = std::malloc(size == 0 ? 1 : size)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }

namespace woolly::test {
namespace {

TEST(Allocation, NoneOnTheTokenPath) {
  WOOLLY_NEEDS_SHARED("models/stories260K-Q8_0.gguf");
  const auto engine = make_engine(table_names().back(), 2);
  const auto model = load(*engine, "models/stories260K-Q8_0.gguf");
  const auto session = make_session(model, {.max_logit_rows = speculate::Generator::kLogitRows});
  auto sampler = sample::Sampler::create({.temperature = 0, .repeat_penalty = 1.1F}, model->vocab_size());
  ASSERT_TRUE(sampler);
  speculate::LookupDrafter drafter(session->n_ctx());
  speculate::Generator generator(*session, std::move(*sampler), model->vocab_size(), &drafter);
  ASSERT_TRUE(generator.append(ids({1, 403, 407, 261, 378})));
  const std::size_t before = n_allocations.load();
  ASSERT_GT(before, 0U);
  for (int i = 0; i < 300; ++i) {  // past several blocks of the cache
    const auto token = generator.pick();
    ASSERT_TRUE(token);
    generator.accept(*token);
  }
  EXPECT_EQ(n_allocations.load(), before);
}

TEST(Allocation, NoneInStepsOfManySequences) {
  WOOLLY_NEEDS_SHARED("models/stories260K-Q8_0.gguf");
  const auto engine = make_engine(table_names().back(), 2);
  const auto model = load(*engine, "models/stories260K-Q8_0.gguf");
  const auto first = make_session(model, {.max_logit_rows = 2});
  const auto second = first->sibling(), third = first->sibling();
  ASSERT_TRUE(second && third);
  const auto tokens = ids({1, 403, 407, 261, 378});
  const Turn turns[] = {{first.get(), std::span(tokens).first(1)}, {second->get(), tokens, 0}, {third->get(), tokens}};
  ASSERT_TRUE(Session::step(turns));
  const std::size_t before = n_allocations.load();
  for (int i = 0; i < 90; ++i) ASSERT_TRUE(Session::step(turns));  // past several blocks of the cache
  EXPECT_EQ(n_allocations.load(), before);
}

TEST(Allocation, NoneWhereTokensGoToExperts) {
  const TempDir dir;
  const auto engine = make_engine(table_names().back(), 2);
  const auto model = Model::load(*engine, dir.write("tiny.gguf", TinyModel{.architecture = "qwen3moe"}.build().build()));
  ASSERT_TRUE(model) << model.error().message;
  const auto session = make_session(*model);
  const std::vector<TokenId> prompt(100, TokenId{3});
  ASSERT_TRUE(session->append(prompt));
  const std::size_t before = n_allocations.load();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(session->append(prompt));
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(session->append(std::span(prompt).first(1)));
  EXPECT_EQ(n_allocations.load(), before);
}

TEST(Allocation, ForksLeaveNothingBehind) {
  WOOLLY_NEEDS_SHARED("models/stories260K-Q8_0.gguf");
  const auto engine = make_engine(table_names().back(), 1);
  const auto model = load(*engine, "models/stories260K-Q8_0.gguf");
  const auto session = make_session(model);
  ASSERT_TRUE(session->append(ids({1, 403, 407, 261, 378})));
  const auto allocations_of_a_fork = [&] {
    const std::size_t before = n_allocations.load();
    EXPECT_TRUE(session->fork());
    return n_allocations.load() - before;
  };
  allocations_of_a_fork();  // the first may make the cache's tables grow for two sequences
  const std::size_t expected = allocations_of_a_fork();
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(allocations_of_a_fork(), expected) << "fork " << i;
}

}  // namespace
}  // namespace woolly::test
