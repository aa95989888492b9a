#include "serve/scheduler.h"

#include <atomic>
#include <cmath>

#include "serve/support.h"

namespace woolly::test {
namespace {

#define NEEDS_TINY_MODEL() WOOLLY_NEEDS_SHARED("models/stories260K.gguf")

/// What a session gives that has the engine for itself.
std::vector<std::int32_t> alone(const std::vector<TokenId>& prompt, std::size_t n) {
  const auto engine = make_engine(table_names().back(), 2);
  const auto session = make_session(load(*engine, "models/stories260K.gguf"));
  auto logits = session->append(prompt);
  std::vector<std::int32_t> tokens;
  while (tokens.size() < n) {
    EXPECT_TRUE(logits);
    const auto best = std::max_element(logits->begin(), logits->end());
    const TokenId token{static_cast<std::int32_t>(best - logits->begin())};
    if (token.value == 2) break;  // EOS
    tokens.push_back(token.value);
    if (tokens.size() < n) logits = session->append({&token, 1});
  }
  return tokens;
}

TEST(Scheduler, ManyAtOnceGetWhatEachGetsAlone) {
  NEEDS_TINY_MODEL();
  TinyServer server({.n_parallel = 5, .chunk = 64});
  std::vector<std::shared_ptr<Recording>> answers;
  for (unsigned i = 0; i < 24; ++i) {
    answers.push_back(server.submit(server.request(prompt_of(1 + 13 * (i % 12), i % 7), 5 + 3 * i)).second);
  }
  for (unsigned i = 0; i < 24; ++i) {
    answers[i]->wait();
    ASSERT_TRUE(answers[i]->outcome) << answers[i]->error->message;
    EXPECT_EQ(answers[i]->ids(), alone(prompt_of(1 + 13 * (i % 12), i % 7), 5 + 3 * i)) << i;
  }
  const serve::Snapshot metrics = server.scheduler->metrics();
  EXPECT_EQ(metrics.n_finished, 24U);
  EXPECT_EQ(metrics.n_running, 0U);
  EXPECT_GT(metrics.n_cached_tokens, 0U);
}

TEST(Scheduler, ABeginningIsComputedOnce) {
  NEEDS_TINY_MODEL();
  TinyServer server;
  const auto first = server.answer(server.request(prompt_of(150, 1), 10));
  EXPECT_EQ(first->outcome->timings.n_cached, 0U);
  const auto again = server.answer(server.request(prompt_of(150, 1), 10));
  EXPECT_EQ(again->outcome->timings.n_cached, 149U) << "the last token's logits are computed again";
  EXPECT_EQ(again->ids(), first->ids());
  auto other = prompt_of(150, 1);
  other[100] = {9};
  EXPECT_EQ(server.answer(server.request(other, 10))->outcome->timings.n_cached, 100U);
  auto of_another = server.request(prompt_of(150, 1), 10);
  of_another.key = "another";
  EXPECT_EQ(server.answer(std::move(of_another))->outcome->timings.n_cached, 0U) << "of another key";
}

TEST(Scheduler, OneComputesABeginningForAllThatComeAtOnce) {
  NEEDS_TINY_MODEL();
  TinyServer server({.n_parallel = 8, .chunk = 32});
  std::vector<std::shared_ptr<Recording>> answers;
  for (std::int32_t i = 0; i < 6; ++i) {
    auto prompt = prompt_of(200, 3);
    prompt.push_back({10 + i});
    answers.push_back(server.submit(server.request(prompt, 8)).second);
  }
  std::size_t n_cached = 0;
  for (std::int32_t i = 0; i < 6; ++i) {
    answers[static_cast<std::size_t>(i)]->wait();
    n_cached += answers[static_cast<std::size_t>(i)]->outcome->timings.n_cached;
    auto prompt = prompt_of(200, 3);
    prompt.push_back({10 + i});
    EXPECT_EQ(answers[static_cast<std::size_t>(i)]->ids(), alone(prompt, 8)) << i;
  }
  EXPECT_EQ(n_cached, 5 * 200U);
}

TEST(Scheduler, ACancelledPromptIsGoneOnWith) {
  NEEDS_TINY_MODEL();
  TinyServer server({.n_parallel = 1, .chunk = 1});
  auto [generation, listener] = server.submit(server.request(prompt_of(400, 5), 10));
  while (server.scheduler->metrics().n_steps < 80) std::this_thread::yield();
  generation->cancel();
  listener->wait();
  EXPECT_EQ(listener->outcome->reason, serve::FinishReason::kCancelled);
  EXPECT_TRUE(listener->pieces.empty());
  const auto again = server.answer(server.request(prompt_of(400, 5), 10));
  EXPECT_GE(again->outcome->timings.n_cached, 79U);
  EXPECT_EQ(again->ids(), alone(prompt_of(400, 5), 10));
}

TEST(Scheduler, OneThatLeavesDoesNotTouchTheOthers) {
  NEEDS_TINY_MODEL();
  TinyServer server({.n_parallel = 4});
  auto [stays, staying] = server.submit(server.request(prompt_of(20, 1), 200));
  auto [leaves, leaving] = server.submit(server.request(prompt_of(20, 2), 400));
  auto [waits, waiting] = server.submit(server.request(prompt_of(20, 3), 30));
  leaving->wait_for_tokens(3);
  leaves->cancel();
  for (const auto& listener : {staying, leaving, waiting}) listener->wait();
  EXPECT_EQ(staying->ids(), alone(prompt_of(20, 1), 200));
  EXPECT_EQ(waiting->ids(), alone(prompt_of(20, 3), 30));
}

TEST(Scheduler, RefusesWhatHasNoRoom) {
  NEEDS_TINY_MODEL();
  TinyServer server({.n_parallel = 1, .n_waiting = 2, .chunk = 1});
  const auto listener = std::make_shared<Recording>();
  const auto too_long = server.scheduler->submit(server.request(prompt_of(600, 1), 1), listener);
  ASSERT_FALSE(too_long);
  EXPECT_EQ(too_long.error().code, ErrorCode::kLimitExceeded);
  EXPECT_NE(too_long.error().message.find("600"), std::string::npos);
  EXPECT_NE(too_long.error().message.find("511"), std::string::npos) << too_long.error().message;

  auto [first, running] = server.submit(server.request(prompt_of(500, 1), 1));
  while (server.scheduler->metrics().n_running == 0) std::this_thread::yield();
  auto [second, waiting] = server.submit(server.request(prompt_of(5, 2), 1));
  auto [third, waiting_too] = server.submit(server.request(prompt_of(5, 3), 1));
  const auto refused = server.scheduler->submit(server.request(prompt_of(5, 4), 1), listener);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kOverloaded);
  for (const auto& each : {running, waiting, waiting_too}) each->wait();
  EXPECT_FALSE(listener->outcome || listener->error);
}

TEST(Scheduler, RefusesWhatIsOutOfRange) {
  NEEDS_TINY_MODEL();
  TinyServer server;
  const auto listener = std::make_shared<Recording>();
  for (const std::int32_t id : {-1, 512, 1 << 30}) {
    const auto refused = server.scheduler->submit(server.request({{1}, {id}}, 1), listener);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message.find("0 to 511"), std::string::npos) << refused.error().message;
  }
  auto request = server.request({{1}}, 1);
  request.sampling.top_p = 2;
  EXPECT_FALSE(server.scheduler->submit(std::move(request), listener));
  request = server.request({{1}}, 1);
  request.stops = {""};
  EXPECT_FALSE(server.scheduler->submit(std::move(request), listener));
}

TEST(Scheduler, AShortMemoryIsShared) {
  NEEDS_TINY_MODEL();
  const auto engine = make_engine(table_names().back(), 2);
  const serve::SchedulerOptions options{.n_parallel = 4, .chunk = 64};
  const SessionOptions session{.chunk = 64, .max_logit_rows = 4};
  const auto need = Model::need(*engine, shared("models/stories260K.gguf"), {}, session);
  ASSERT_TRUE(need) << need.error().message;
  // Keys and values of 1,024 positions, two slabs; four texts of 300 and more need four.
  serve::SchedulerOptions tight = options;
  tight.memory = need->weights + need->workspace + need->kv_of(1024);
  TinyServer server(tight);
  std::vector<std::shared_ptr<Recording>> answers;
  for (unsigned i = 0; i < 8; ++i) answers.push_back(server.submit(server.request(prompt_of(280, i), 60)).second);
  for (unsigned i = 0; i < 8; ++i) {
    answers[i]->wait();
    ASSERT_TRUE(answers[i]->outcome) << answers[i]->error->message;
    EXPECT_EQ(answers[i]->ids(), alone(prompt_of(280, i), 60)) << i;
    EXPECT_LE(server.scheduler->metrics().kv_bytes, need->kv_of(1024));
  }
  serve::SchedulerOptions too_tight = options;
  too_tight.memory = need->weights;
  TinyServer none(too_tight);
  const auto refused = none.answer(none.request(prompt_of(5, 1), 1));
  ASSERT_TRUE(refused->error);
  EXPECT_EQ(refused->error->code, ErrorCode::kLimitExceeded);
  EXPECT_NE(refused->error->message.find("--memory"), std::string::npos) << refused->error->message;
}

TEST(Scheduler, ModelsComeAndGo) {
  NEEDS_TINY_MODEL();
  TinyServer server;
  auto load_only = server.request({}, 0);
  load_only.keep_alive = -1;
  EXPECT_TRUE(server.answer(std::move(load_only))->outcome);
  auto other = server.request(prompt_of(9, 1), 4);
  other.model = server.card("stories260K-Q8_0");
  other.keep_alive = 0;
  EXPECT_EQ(server.answer(std::move(other))->ids().size(), 4U);
  const auto names = [&] {
    std::vector<std::string> all;
    for (const auto& resident : server.scheduler->resident()) all.push_back(resident.name);
    return all;
  };
  while (names().size() != 1) std::this_thread::yield();
  EXPECT_EQ(names(), std::vector<std::string>{"stories260K"});
  EXPECT_LT(server.scheduler->resident()[0].expires_in, 0);
  server.scheduler->unload("stories260K");
  while (!names().empty()) std::this_thread::yield();
  EXPECT_EQ(server.answer(server.request(prompt_of(9, 1), 4))->ids(), alone(prompt_of(9, 1), 4));
}

TEST(Scheduler, StopStringsEndAndAreTold) {
  NEEDS_TINY_MODEL();
  TinyServer server;
  const auto whole = server.answer(server.request(prompt_of(4, 1), 60));
  const std::size_t middle = whole->text.size() / 2;
  const std::string stop = whole->text.substr(middle, 3);
  auto request = server.request(prompt_of(4, 1), 60);
  request.stops = {stop};
  const auto stopped = server.answer(std::move(request));
  EXPECT_EQ(stopped->outcome->reason, serve::FinishReason::kStopString);
  EXPECT_EQ(stopped->outcome->stop_string, stop);
  EXPECT_EQ(stopped->text, whole->text.substr(0, whole->text.find(stop)));
}

TEST(Scheduler, LogProbabilitiesAreThoseOfTheModel) {
  NEEDS_TINY_MODEL();
  TinyServer server;
  auto request = server.request(prompt_of(6, 1), 5);
  request.wants_logprobs = true;
  request.n_top = 4;
  const auto answer = server.answer(std::move(request));
  ASSERT_EQ(answer->pieces.size(), 5U);
  for (const serve::Piece& piece : answer->pieces) {
    ASSERT_EQ(piece.top.size(), 4U);
    EXPECT_EQ(piece.top[0].id, piece.id) << "greedy";
    EXPECT_EQ(piece.top[0].logprob, piece.logprob);
    EXPECT_LT(piece.logprob, 0.0F);
    for (std::size_t i = 1; i < 4; ++i) EXPECT_GE(piece.top[i - 1].logprob, piece.top[i].logprob);
  }
  const auto engine = make_engine(table_names().back(), 1);
  const auto session = make_session(load(*engine, "models/stories260K.gguf"));
  const auto logits = session->append(prompt_of(6, 1));
  double sum = 0;
  for (const float logit : *logits) sum += std::exp(static_cast<double>(logit));
  const double expected = static_cast<double>((*logits)[static_cast<std::size_t>(answer->pieces[0].id.value)]) - std::log(sum);
  EXPECT_NEAR(static_cast<double>(answer->pieces[0].logprob), expected, 1e-5);
}

TEST(Scheduler, TimingsSumToTheTimeThatPassed) {
  NEEDS_TINY_MODEL();
  TinyServer server;
  const auto begin = std::chrono::steady_clock::now();
  const auto answer = server.answer(server.request(prompt_of(300, 1), 100));
  const double passed = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const serve::Timings& t = answer->outcome->timings;
  for (const double part : {t.queued, t.load, t.prefill, t.decode, t.sampling}) EXPECT_GE(part, 0);
  EXPECT_LE(t.queued + t.load + t.prefill + t.decode + t.sampling, passed);
  EXPECT_EQ(t.n_prompt, 300U);
  EXPECT_EQ(t.n_generated, answer->pieces.size());
}

TEST(Scheduler, DrainsAndCuts) {
  NEEDS_TINY_MODEL();
  TinyServer server({.n_parallel = 2});
  auto [generation, listener] = server.submit(server.request(prompt_of(9, 1), 50));
  server.scheduler->drain(1000);
  ASSERT_TRUE(listener->outcome);
  EXPECT_EQ(listener->outcome->reason, serve::FinishReason::kLength);
  const auto refused = server.scheduler->submit(server.request(prompt_of(9, 1), 5), listener);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kOverloaded);

  TinyServer cut({.n_parallel = 1, .chunk = 1});
  auto [first, running] = cut.submit(cut.request(prompt_of(500, 1), 5));
  auto [second, waiting] = cut.submit(cut.request(prompt_of(500, 2), 5));
  cut.scheduler->drain(0);
  ASSERT_TRUE(running->outcome && waiting->outcome);
  EXPECT_EQ(waiting->outcome->reason, serve::FinishReason::kShutdown);
}

TEST(Scheduler, IsReadyOnceWhatWasNamedIsThere) {
  NEEDS_TINY_MODEL();
  TinyServer server;
  EXPECT_TRUE(server.scheduler->is_ready());
  std::atomic<int> n_loaded = 0;
  server.scheduler->preload(server.card(), [&](const Status& status) { n_loaded += status ? 1 : 0; });
  while (!server.scheduler->is_ready()) std::this_thread::yield();
  while (n_loaded == 0) std::this_thread::yield();
  while (server.scheduler->resident().empty()) std::this_thread::yield();
  EXPECT_TRUE(server.scheduler->is_ready());
}

/// A listener that fails ends its own request only.
TEST(Scheduler, AListenerThatThrowsHurtsNobodyElse) {
  NEEDS_TINY_MODEL();
  struct Throwing final : serve::Listener {
    void on_text(std::string_view, std::span<const serve::Piece>) override { throw std::runtime_error("no"); }
    void on_end(const serve::Outcome&) override { throw std::runtime_error("no"); }
    void on_error(const Error&) override { throw std::runtime_error("no"); }
  };
  TinyServer server({.n_parallel = 2});
  ASSERT_TRUE(server.scheduler->submit(server.request(prompt_of(9, 2), 100), std::make_shared<Throwing>()));
  EXPECT_EQ(server.answer(server.request(prompt_of(9, 1), 40))->ids(), alone(prompt_of(9, 1), 40));
  while (server.scheduler->metrics().n_cancelled == 0) std::this_thread::yield();
}

}  // namespace
}  // namespace woolly::test
