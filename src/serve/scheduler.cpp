#include "serve/scheduler.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <exception>
#include <list>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "os/memory.h"
#include "serve/chunk_control.h"
#include "serve/job.h"
#include "serve/prefix_cache.h"

namespace woolly::serve {
namespace {

/// A beginning that another sequence is just computing is waited for where it saves at least so many tokens.
constexpr std::size_t kWorthWaiting = 64;
constexpr std::size_t kMostParallel = 16;
/// What a sequence should find room for, where the number of those that run at once is chosen by memory.
constexpr std::size_t kUsualContext = 4096;

/// A loaded model and all that belongs to it.
struct Loaded {
  std::shared_ptr<const Card> card;
  std::shared_ptr<const Model> model;
  MemoryNeed need;
  std::unique_ptr<Session> root;  ///< Of the family; without tokens.
  std::size_t n_parallel = 1;
  std::size_t n_allowed = 1;  ///< As n_parallel, but fewer after one had to give up its place, until another ends.
  std::list<std::unique_ptr<Job>> running;  ///< In the order of admission.
  PrefixCache cache;
  ChunkControl control;
  std::vector<Turn> turns;
  std::vector<Job*> jobs;  ///< Of the turns.
  double keep_alive;
  bool must_go = false;
  bool is_broken = false;  ///< Its file cannot be read any more; nothing runs on it.
  Clock::time_point idle_since = Clock::now();

  Loaded(std::shared_ptr<const Card> of, std::size_t chunk, double keep) : card(std::move(of)), control(chunk), keep_alive(keep) {}
};

Status check_tokens(std::span<const TokenId> tokens, std::size_t n_vocab) {
  for (const TokenId token : tokens) {
    if (token.value < 0 || static_cast<std::size_t>(token.value) >= n_vocab) {
      return Error{ErrorCode::kInvalidArgument, fmt::format("token id {}: allowed are 0 to {}", token.value, n_vocab - 1)};
    }
  }
  return {};
}

}  // namespace

class Scheduler::Impl {
 public:
  Impl(Engine& engine, const SchedulerOptions& options)
      : engine_(engine), options_(options), budget_(std::make_shared<KvBudget>(options.memory)) {
    thread_ = std::thread([this] { run(); });
  }

  ~Impl() {
    {
      const std::scoped_lock lock(mutex_);
      is_draining_ = is_cut_ = must_end_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  Result<std::shared_ptr<Generation>> submit(GenerateRequest request, std::shared_ptr<Listener> listener) {
    const Card& card = *request.model;
    const std::size_t n_prompt = request.prompt.size();
    if (n_prompt >= card.context_length && n_prompt > 0) {
      return Error{ErrorCode::kLimitExceeded,
                   fmt::format("the prompt has {} tokens; with room for an answer the context allows {}", n_prompt,
                               card.context_length - 1)};
    }
    WOOLLY_CHECK(check_tokens(request.prompt, card.n_choices));
    WOOLLY_TRY(sample::Sampler sampler, sample::Sampler::create(request.sampling, card.n_choices));
    WOOLLY_TRY(sample::StopMatcher stops, sample::StopMatcher::create(request.stops));
    for (const TokenId token : request.prompt) sampler.accept(token);
    std::vector<TokenId> tokens = std::move(request.prompt);
    request.prompt.clear();
    auto ticket = std::make_shared<Ticket>([this] { wake(); });
    auto job = std::unique_ptr<Job>(new Job{.request = std::move(request),
                                            .listener = std::move(listener),
                                            .ticket = ticket,
                                            .sampler = std::move(sampler),
                                            .stops = std::move(stops),
                                            .detokenizer = text::Detokenizer(*card.tokenizer),
                                            .tokens = std::move(tokens)});
    job->n_prompt = n_prompt;
    job->submitted = Clock::now();
    {
      const std::scoped_lock lock(mutex_);
      if (is_draining_) return refuse("the server is shutting down");
      if (inbox_.size() + n_waiting_ >= options_.n_waiting) {
        return refuse(fmt::format("{} requests are waiting, which is the most", options_.n_waiting));
      }
      job->number = ++n_submitted_;
      ++snapshot_.n_requests;
      inbox_.push_back(std::move(job));
    }
    changed_.notify_all();
    return std::shared_ptr<Generation>(ticket);
  }

  void unload(const std::string& name) {
    {
      const std::scoped_lock lock(mutex_);
      to_unload_.insert(name);
    }
    wake();
  }

  void preload(std::shared_ptr<const Card> card, std::function<void(const Status&)> on_end) {
    struct Loading final : Listener {
      void on_text(std::string_view, std::span<const Piece>) override {}
      void on_end(const Outcome&) override { done({}); }
      void on_error(const Error& error) override { done(error); }
      std::function<void(const Status&)> done;
    };
    auto listener = std::make_shared<Loading>();
    ++n_preloading_;
    listener->done = [this, on_end = std::move(on_end)](const Status& status) {
      --n_preloading_;
      on_end(status);
    };
    if (const auto generation = submit({.model = std::move(card)}, listener); !generation) {
      listener->done(generation.error());
    }
  }

  std::vector<Resident> resident() const {
    const std::scoped_lock lock(mutex_);
    return resident_;
  }

  bool is_ready() const {
    if (n_preloading_ > 0) return false;
    const std::scoped_lock lock(mutex_);
    const bool has_work = !inbox_.empty() || n_waiting_ > 0 || snapshot_.n_running > 0;
    return !has_work || seconds_between(latest_progress_, Clock::now()) < options_.patience;
  }

  Snapshot metrics() const {
    const std::scoped_lock lock(mutex_);
    Snapshot snapshot = snapshot_;
    snapshot.n_waiting = inbox_.size() + n_waiting_;
    snapshot.kv_bytes = budget_->taken();
    snapshot.memory_limit = options_.memory;
    return snapshot;
  }

  void drain(double seconds) {
    std::unique_lock lock(mutex_);
    is_draining_ = true;
    const auto is_done = [&] { return inbox_.empty() && n_waiting_ == 0 && snapshot_.n_running == 0; };
    const auto limit = std::chrono::duration<double>(std::clamp(seconds, 0.0, 1e6));
    changed_.notify_all();
    if (idle_.wait_for(lock, limit, is_done)) return;
    is_cut_ = true;
    changed_.notify_all();
    idle_.wait(lock, is_done);
  }

 private:
  Error refuse(std::string why) {
    ++snapshot_.n_refused;
    return {ErrorCode::kOverloaded, std::move(why)};
  }

  void wake() {
    {
      const std::scoped_lock lock(mutex_);
      is_woken_ = true;
    }
    changed_.notify_all();
  }

  // -- The scheduler's thread ----------------------------------------------------------------------------------------

  void run() {
    while (collect()) {
      end_cancelled();
      forget_models();
      admit();
      bool has_run = false;
      for (const auto& loaded : models_) has_run |= step(*loaded);
      publish();
      has_stepped_ = has_run;
    }
    models_.clear();
  }

  /// Takes what was submitted, and waits where there is nothing to do; false at the end.
  bool collect() {
    std::unique_lock lock(mutex_);
    const auto has_news = [&] { return !inbox_.empty() || !to_unload_.empty() || is_woken_ || must_end_ || is_cut_ != cuts_; };
    if (!has_stepped_ && !has_news()) {
      if (const auto next = next_expiry()) {
        changed_.wait_until(lock, *next, has_news);
      } else {
        changed_.wait(lock, has_news);
      }
    }
    is_woken_ = false;
    if (waiting_.empty() && snapshot_.n_running == 0) latest_progress_ = Clock::now();
    while (!inbox_.empty()) {
      waiting_.push_back(std::move(inbox_.front()));
      inbox_.pop_front();
    }
    n_waiting_ = waiting_.size();
    for (const std::string& name : to_unload_) {
      if (Loaded* loaded = find_loaded(name)) loaded->must_go = true;
    }
    to_unload_.clear();
    cuts_ = is_cut_;
    if (!must_end_) return true;
    lock.unlock();
    end_cancelled();
    publish();
    return false;
  }

  std::optional<Clock::time_point> next_expiry() const {
    std::optional<Clock::time_point> next;
    for (const auto& loaded : models_) {
      if (!loaded->running.empty() || loaded->keep_alive < 0) continue;
      const auto at = expiry(*loaded);
      if (!next || at < *next) next = at;
    }
    return next;
  }

  static Clock::time_point expiry(const Loaded& loaded) {
    const auto stay = std::chrono::duration<double>(std::min(loaded.keep_alive, 1e8));
    return loaded.idle_since + std::chrono::duration_cast<Clock::duration>(stay);
  }

  Loaded* find_loaded(std::string_view name) {
    for (const auto& loaded : models_) {
      if (loaded->card->name == name) return loaded.get();
    }
    return nullptr;
  }

  // -- Ends ----------------------------------------------------------------------------------------------------------

  void end_cancelled() {
    const auto reason_of = [&](const Job& job) -> std::optional<FinishReason> {
      if (job.ticket->is_cancelled()) return FinishReason::kCancelled;
      if (cuts_) return FinishReason::kShutdown;
      return std::nullopt;
    };
    for (auto job = waiting_.begin(); job != waiting_.end();) {
      const auto reason = reason_of(**job);
      if (reason) finish(**job, *reason);
      job = reason ? waiting_.erase(job) : std::next(job);
    }
    for (const auto& loaded : models_) {
      for (auto job = loaded->running.begin(); job != loaded->running.end();) {
        const auto reason = reason_of(**job);
        if (reason) {
          finish(**job, *reason);
          job = leave(*loaded, job);
        } else {
          ++job;
        }
      }
    }
  }

  void finish(Job& job, FinishReason reason, std::string stop_string = {}) {
    const Outcome outcome{reason, std::move(stop_string), job.timings(Clock::now())};
    {
      const std::scoped_lock lock(mutex_);
      const bool is_cut = reason == FinishReason::kCancelled || reason == FinishReason::kShutdown;
      ++(is_cut ? snapshot_.n_cancelled : snapshot_.n_finished);
    }
    tell(job, [&] { job.listener->on_end(outcome); });
  }

  void fail(Job& job, Error error) {
    {
      const std::scoped_lock lock(mutex_);
      ++snapshot_.n_failed;
    }
    error = without_folder(std::move(error), job.request.model->path);
    tell(job, [&] { job.listener->on_error(error); });
  }

  /// A listener that throws is not told more; its request ends.
  template <typename Call>
  static void tell(Job& job, Call call) {
    try {
      call();
    } catch (const std::exception&) {
      job.ticket->cancel();
    }
  }

  /// Takes a job that has ended out of those that run; what was computed stays for others.
  std::list<std::unique_ptr<Job>>::iterator leave(Loaded& loaded, std::list<std::unique_ptr<Job>>::iterator at) {
    Job& job = **at;
    if (job.session != nullptr && job.session->n_tokens() > 0) {
      job.tokens.resize(job.session->n_tokens());
      loaded.cache.put({job.request.key, std::move(job.tokens), std::move(job.session)});
    }
    loaded.keep_alive = job.request.keep_alive.value_or(options_.keep_alive);
    loaded.idle_since = Clock::now();
    loaded.n_allowed = loaded.n_parallel;
    return loaded.running.erase(at);
  }

  void forget_models() {
    const auto now = Clock::now();
    for (auto at = models_.begin(); at != models_.end();) {
      const Loaded& loaded = **at;
      const bool is_wanted = std::ranges::any_of(waiting_, [&](const auto& job) { return job->request.model == loaded.card; });
      const bool is_over = loaded.keep_alive >= 0 && expiry(loaded) <= now;
      const bool goes = loaded.running.empty() && (loaded.is_broken || (!is_wanted && (loaded.must_go || is_over)));
      at = goes ? drop(at) : std::next(at);
    }
  }

  std::list<std::unique_ptr<Loaded>>::iterator drop(std::list<std::unique_ptr<Loaded>>::iterator at) {
    const auto next = models_.erase(at);
    set_kv_limit();
    return next;
  }

  // -- Memory --------------------------------------------------------------------------------------------------------

  [[nodiscard]] std::uint64_t fixed_bytes() const {
    std::uint64_t bytes = 0;
    for (const auto& loaded : models_) bytes += loaded->need.weights + loaded->need.workspace;
    return bytes;
  }
  void set_kv_limit() { budget_->set_limit(options_.memory - std::min(options_.memory, fixed_bytes())); }

  /// Lets go of the idle model that was used the longest time ago; false where all work.
  bool drop_idle_model() {
    auto oldest = models_.end();
    for (auto at = models_.begin(); at != models_.end(); ++at) {
      if (!(*at)->running.empty()) continue;
      if (oldest == models_.end() || (*at)->idle_since < (*oldest)->idle_since) oldest = at;
    }
    if (oldest == models_.end()) return false;
    drop(oldest);
    return true;
  }

  /// Gives up some memory of keys and values for `for_model`: of what is kept for later, then of idle models, then of the
  /// job that came last, which will compute it again. False where nothing is left but `but`.
  bool make_room(Loaded& for_model, const Job* but) {
    if (for_model.cache.drop_oldest()) return true;
    for (auto at = models_.begin(); at != models_.end(); ++at) {
      if (at->get() == &for_model || !(*at)->running.empty()) continue;
      drop(at);
      return true;
    }
    Job* latest = nullptr;
    for (const auto& job : for_model.running) {
      if (job.get() != but && job->session != nullptr && (latest == nullptr || job->number > latest->number)) latest = job.get();
    }
    if (latest == nullptr || (but != nullptr && latest->number < but->number)) return false;
    preempt(for_model, *latest);
    return true;
  }

  void preempt(Loaded& loaded, Job& job) {
    const auto at = std::ranges::find_if(loaded.running, [&](const auto& other) { return other.get() == &job; });
    job.session.reset();
    {
      const std::scoped_lock lock(mutex_);
      ++snapshot_.n_preempted;
    }
    waiting_.push_front(std::move(*at));
    loaded.running.erase(at);
    loaded.n_allowed = std::max<std::size_t>(1, loaded.running.size());
  }

  // -- Beginnings ----------------------------------------------------------------------------------------------------

  void admit() {
    for (auto at = waiting_.begin(); at != waiting_.end();) {
      Loaded* loaded = ready_model(*at);
      if (*at == nullptr) {  // it has ended
        at = waiting_.erase(at);
        continue;
      }
      if (loaded == nullptr || loaded->running.size() >= loaded->n_allowed || !begin(*loaded, **at)) {
        ++at;
        continue;
      }
      loaded->running.push_back(std::move(*at));
      at = waiting_.erase(at);
    }
    const std::scoped_lock lock(mutex_);
    n_waiting_ = waiting_.size();
  }

  /// The model of a job, loaded if it is not yet there; nullptr where it must wait, or where the job has ended (it is then
  /// nullptr too): with an error, or because loading was all.
  Loaded* ready_model(std::unique_ptr<Job>& job) {
    Loaded* loaded = find_loaded(job->request.model->name);
    if (loaded != nullptr && (loaded->is_broken || loaded->card != job->request.model) && loaded->running.empty()) {  // the file has changed
      std::erase_if(models_, [&](const auto& other) { return other.get() == loaded; });
      set_kv_limit();
      loaded = nullptr;
    }
    if (loaded == nullptr) {
      const auto begin = Clock::now();
      auto made = load(job->request.model);
      if (!made) {
        fail(*job, made.error());
        job.reset();
        return nullptr;
      }
      loaded = *made;
      if (loaded == nullptr) return nullptr;
      const double seconds = seconds_between(begin, Clock::now());
      for (const auto& other : waiting_) {  // all that wait for it have waited for its loading
        if (other != nullptr && other->request.model == loaded->card) other->load += std::min(seconds, seconds_between(other->submitted, Clock::now()));
      }
    }
    if (job->tokens.size() >= loaded->root->n_ctx()) {
      fail(*job, {ErrorCode::kLimitExceeded,
                  fmt::format("the text has {} tokens; with room for an answer the context allows {}, as memory is limited to "
                              "{:.0f} MB (--memory)",
                              job->tokens.size(), loaded->root->n_ctx() - 1, static_cast<double>(options_.memory) / 1e6)});
      job.reset();
      return nullptr;
    }
    if (!job->tokens.empty()) return loaded;
    loaded->keep_alive = job->request.keep_alive.value_or(options_.keep_alive);
    loaded->idle_since = Clock::now();
    publish();  // who hears that it is loaded may ask at once what is
    finish(*job, FinishReason::kStop);
    job.reset();
    return nullptr;
  }

  /// nullptr where it must wait until others are idle.
  Result<Loaded*> load(const std::shared_ptr<const Card>& card) {
    SessionOptions session{.n_ctx = card->context_length,
                           .chunk = options_.chunk,
                           .kv_type = options_.kv_type,
                           .max_logit_rows = std::min(kMostParallel, options_.chunk),
                           .kv_budget = budget_};
    if (options_.n_parallel > 0) session.max_logit_rows = std::min(options_.n_parallel, options_.chunk);
    WOOLLY_TRY(const MemoryNeed need, Model::need(engine_, card->path, options_.load, session));
    const std::uint64_t least = need.weights + need.workspace + need.kv_of(std::min<std::size_t>(card->context_length, kUsualContext));
    if (least > options_.memory) {
      return Error{ErrorCode::kLimitExceeded,
                   fmt::format("{}: {:.0f} MB of weights, {:.0f} MB of workspace and {:.0f} MB for {} tokens exceed the "
                               "memory limit of {:.0f} MB (--memory)",
                               card->name, static_cast<double>(need.weights) / 1e6, static_cast<double>(need.workspace) / 1e6,
                               static_cast<double>(least - need.weights - need.workspace) / 1e6,
                               std::min<std::size_t>(card->context_length, kUsualContext),
                               static_cast<double>(options_.memory) / 1e6)};
    }
    while (fixed_bytes() + budget_->taken() + least > options_.memory) {
      if (drop_idle_model()) continue;
      return static_cast<Loaded*>(nullptr);
    }
    auto loaded = std::make_unique<Loaded>(card, options_.chunk, options_.keep_alive);
    loaded->need = need;
    const std::uint64_t left = options_.memory - fixed_bytes() - need.weights - need.workspace;
    // A sequence is never longer than what there is memory for.
    const std::uint64_t n_most = need.tokens_in(left);
    session.n_ctx = static_cast<std::size_t>(std::min<std::uint64_t>(card->context_length, n_most));
    const std::uint64_t usual = need.kv_of(std::min(session.n_ctx, kUsualContext));
    loaded->n_parallel = static_cast<std::size_t>(std::clamp<std::uint64_t>(left / usual, 1, session.max_logit_rows));
    if (options_.n_parallel > 0) loaded->n_parallel = session.max_logit_rows;
    loaded->n_allowed = loaded->n_parallel;
    WOOLLY_TRY(loaded->model, Model::load(engine_, card->path, options_.load));
    WOOLLY_TRY(loaded->root, Session::create(loaded->model, session));
    loaded->turns.reserve(session.max_logit_rows);
    models_.push_back(std::move(loaded));
    set_kv_limit();
    return models_.back().get();
  }

  /// Gives a job its session, with what is known of its beginning; false where it should wait.
  bool begin(Loaded& loaded, Job& job) {
    const std::size_t n_most = job.tokens.size() - 1;  // the last token's logits are wanted
    const std::size_t n_cached = std::min(n_most, loaded.cache.longest(job.request.key, job.tokens));
    const Job* best = nullptr;
    std::size_t n_best = n_cached;
    for (const auto& other : loaded.running) {
      if (other->request.key != job.request.key) continue;
      const std::size_t n_shared = std::min(n_most, common_prefix(other->tokens, job.tokens));
      const std::size_t n_done = std::min(n_shared, other->session->n_tokens());
      if (n_shared > n_done && n_shared >= n_cached + kWorthWaiting) return false;
      if (n_done <= n_best) continue;
      best = other.get();
      n_best = n_done;
    }
    std::unique_ptr<Session> session;
    if (best != nullptr) {
      if (auto fork = best->session->fork()) {
        session = std::move(fork).value();
        session->truncate(n_best);
      }
    } else if (n_cached > 0) {
      session = loaded.cache.take(job.request.key, job.tokens, n_most);
    }
    if (session == nullptr) {
      auto fresh = loaded.root->sibling();
      if (!fresh) return false;
      session = std::move(fresh).value();
    }
    job.session = std::move(session);
    if (!job.has_run) {
      job.has_run = true;
      job.n_cached = job.session->n_tokens();
      job.admitted = Clock::now();
      const std::scoped_lock lock(mutex_);
      snapshot_.queue.add(seconds_between(job.submitted, job.admitted));
      snapshot_.n_prompt_tokens += job.n_prompt;
      snapshot_.n_cached_tokens += job.n_cached;
    }
    return true;
  }

  // -- Steps ---------------------------------------------------------------------------------------------------------

  /// One pass over some tokens of those that run; false where there are none.
  bool step(Loaded& loaded) {
    if (loaded.running.empty()) return false;
    const auto begin = Clock::now();
    for (;;) {
      choose_turns(loaded);
      if (loaded.turns.empty()) return !loaded.running.empty();
      auto logits = Session::step(loaded.turns);
      if (logits) {
        const std::size_t n_streams = n_streams_, n_prompt = n_prompt_tokens_;
        const auto end = Clock::now();
        loaded.control.learn(n_streams, n_prompt, seconds_between(begin, end));
        {
          const std::scoped_lock lock(mutex_);
          ++snapshot_.n_steps;
          latest_progress_ = end;
        }
        pick_tokens(loaded, *logits);
        return true;
      }
      if (logits.error().code == ErrorCode::kIo) {
        loaded.is_broken = true;
        for (auto at = loaded.running.begin(); at != loaded.running.end(); at = leave(loaded, at)) fail(**at, logits.error());
        return true;
      }
      // Memory is short: the oldest goes on.
      const Job* oldest = loaded.jobs.front();
      for (const Job* job : loaded.jobs) oldest = job->number < oldest->number ? job : oldest;
      if (make_room(loaded, oldest)) continue;
      const auto at = std::ranges::find_if(loaded.running, [&](const auto& job) { return job.get() == oldest; });
      fail(**at, logits.error());
      leave(loaded, at);
      if (loaded.running.empty()) return true;
    }
  }

  /// Every stream's next token, and of prompts as many as the control allows, shared out evenly.
  void choose_turns(Loaded& loaded) {
    loaded.turns.clear();
    loaded.jobs.clear();
    n_streams_ = n_prompt_tokens_ = 0;
    std::size_t n_prompts = 0;
    for (const auto& job : loaded.running) {
      if (job->is_stream()) {
        add_turn(loaded, *job, 1);
        ++n_streams_;
      } else {
        ++n_prompts;
      }
    }
    std::size_t left = loaded.control.budget(n_streams_);
    for (const auto& job : loaded.running) {
      if (job->is_stream()) continue;
      const std::size_t share = left / n_prompts--;
      const std::size_t n = std::min(std::max<std::size_t>(share, 1), job->n_left());
      if (left == 0) break;
      add_turn(loaded, *job, n);
      left -= n;
      n_prompt_tokens_ += n;
    }
  }

  static void add_turn(Loaded& loaded, Job& job, std::size_t n) {
    const std::size_t done = job.session->n_tokens();
    const std::span<const TokenId> next = std::span(job.tokens).subspan(done, n);
    loaded.turns.push_back({job.session.get(), next, done + n == job.tokens.size() ? 1U : 0U});
    loaded.jobs.push_back(&job);
  }

  void pick_tokens(Loaded& loaded, const Logits& logits) {
    std::size_t row = 0;
    for (std::size_t i = 0; i < loaded.turns.size(); ++i) {
      if (loaded.turns[i].n_logits == 0) continue;
      Job& job = *loaded.jobs[i];
      if (!pick_token(loaded, job, logits.row(row++).first(loaded.card->n_choices))) continue;
      const auto at = std::ranges::find_if(loaded.running, [&](const auto& other) { return other.get() == &job; });
      leave(loaded, at);
    }
  }

  /// True where the job has ended.
  bool pick_token(Loaded& loaded, Job& job, std::span<const float> logits) {
    const auto begin = Clock::now();
    const TokenId token = job.sampler.pick(logits);
    const float logit = logits[static_cast<std::size_t>(token.value)];
    if (!std::isfinite(logit)) {
      fail(job, {ErrorCode::kInvalidFile, fmt::format("{}: the logit of the token that was chosen is {}", loaded.card->name, logit)});
      return true;
    }
    const Tokenizer& tokenizer = *loaded.card->tokenizer;
    const bool is_end = tokenizer.is_end_of_generation(token);
    Piece piece{.id = token, .logprob = 0, .top = {}};
    if (job.request.wants_logprobs && !is_end) piece = logprobs_of(logits, token, job.request.n_top);
    const auto now = Clock::now();
    const bool is_first = job.n_generated == 0;
    (is_first ? job.sampling_before : job.sampling_after) += seconds_between(begin, now);
    if (is_first) job.first_token = now;
    {
      const std::scoped_lock lock(mutex_);
      if (is_first) {
        snapshot_.time_to_first_token.add(seconds_between(job.submitted, now));
      } else {
        snapshot_.time_between_tokens.add(seconds_between(job.latest_token, now));
      }
      if (!is_end) ++snapshot_.n_generated_tokens;
    }
    job.latest_token = now;
    if (is_end) {
      show_rest(job);
      finish(job, FinishReason::kStop);
      return true;
    }
    job.sampler.accept(token);
    job.tokens.push_back(token);
    ++job.n_generated;
    const std::string_view text = job.stops.push(job.detokenizer.push(token));
    tell(job, [&] { job.listener->on_text(text, {&piece, 1}); });
    if (job.stops.found()) {
      finish(job, FinishReason::kStopString, std::string(job.stops.match()));
      return true;
    }
    if (job.n_generated < job.request.max_tokens && job.tokens.size() < loaded.root->n_ctx()) return false;
    show_rest(job);
    finish(job, FinishReason::kLength);
    return true;
  }

  /// What was held back, as no more text comes.
  static void show_rest(Job& job) {
    std::string rest(job.stops.push(job.detokenizer.finish()));
    rest += job.stops.finish();
    if (!rest.empty()) tell(job, [&] { job.listener->on_text(rest, {}); });
  }

  void publish() {
    const std::scoped_lock lock(mutex_);
    snapshot_.n_running = snapshot_.n_cached_sequences = 0;
    snapshot_.weight_bytes = snapshot_.workspace_bytes = 0;
    snapshot_.n_models = models_.size();
    resident_.clear();
    const auto now = Clock::now();
    for (const auto& loaded : models_) {
      snapshot_.n_running += loaded->running.size();
      snapshot_.n_cached_sequences += loaded->cache.size();
      snapshot_.weight_bytes += loaded->need.weights;
      snapshot_.workspace_bytes += loaded->need.workspace;
      const bool stays = loaded->keep_alive < 0 || !loaded->running.empty();
      resident_.push_back({loaded->card->name, loaded->need.weights + loaded->need.workspace + loaded->need.mapped,
                           loaded->root->n_ctx(), stays ? -1 : std::max(0.0, seconds_between(now, expiry(*loaded)))});
    }
    n_waiting_ = waiting_.size();
    if (inbox_.empty() && n_waiting_ == 0 && snapshot_.n_running == 0) idle_.notify_all();
  }

  Engine& engine_;
  const SchedulerOptions options_;
  const std::shared_ptr<KvBudget> budget_;
  std::atomic<int> n_preloading_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable changed_, idle_;
  // Guarded by mutex_:
  std::deque<std::unique_ptr<Job>> inbox_;
  std::set<std::string> to_unload_;
  std::size_t n_waiting_ = 0;
  std::uint64_t n_submitted_ = 0;
  bool is_woken_ = false, is_draining_ = false, is_cut_ = false, must_end_ = false;
  Snapshot snapshot_;
  std::vector<Resident> resident_;
  Clock::time_point latest_progress_ = Clock::now();

  // The thread's own:
  std::list<std::unique_ptr<Loaded>> models_;
  std::deque<std::unique_ptr<Job>> waiting_;
  bool cuts_ = false, has_stepped_ = false;
  std::size_t n_streams_ = 0, n_prompt_tokens_ = 0;  // of the turns that were chosen last

  std::thread thread_;
};

Scheduler::Scheduler(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Scheduler::~Scheduler() = default;

Result<std::unique_ptr<Scheduler>> Scheduler::start(Engine& engine, const SchedulerOptions& options) {
  SchedulerOptions chosen = options;
  if (chosen.memory == 0) chosen.memory = os::memory_to_use();
  return std::unique_ptr<Scheduler>(new Scheduler(std::make_unique<Impl>(engine, chosen)));
}

Result<std::shared_ptr<Generation>> Scheduler::submit(GenerateRequest request, std::shared_ptr<Listener> listener) {
  return impl_->submit(std::move(request), std::move(listener));
}
void Scheduler::unload(const std::string& name) { impl_->unload(name); }
std::vector<Scheduler::Resident> Scheduler::resident() const { return impl_->resident(); }
bool Scheduler::is_ready() const { return impl_->is_ready(); }
void Scheduler::preload(std::shared_ptr<const Card> card, std::function<void(const Status&)> on_end) {
  impl_->preload(std::move(card), std::move(on_end));
}
Snapshot Scheduler::metrics() const { return impl_->metrics(); }
void Scheduler::drain(double seconds) { impl_->drain(seconds); }

}  // namespace woolly::serve
