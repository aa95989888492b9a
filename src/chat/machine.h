// Runs the syntax tree of a template, within limits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "chat/syntax.h"
#include "chat/value.h"

namespace woolly::chat {

/// Names and what they stand for; of a block, within those around it.
struct Scope {
  std::shared_ptr<Scope> outer;
  std::map<std::string, Value, std::less<>> names;
};

class Machine {
 public:
  // Templates of real models need some thousands of steps for a conversation; this many take about a second.
  static constexpr std::uint64_t kMaxSteps = 3'000'000;
  static constexpr std::size_t kMaxOutput = std::size_t{64} << 20U;
  static constexpr int kMaxDepth = 100;  ///< Of calls.

  Machine(std::int64_t now, const std::map<std::string, Value, std::less<>>& globals);

  Text render(const Body& body);

  /// Seconds since 1970, for strftime_now.
  [[nodiscard]] std::int64_t now() const noexcept { return now_; }

  /// Takes `n` steps: of items that something touches.
  void step(std::uint64_t n = 1);
  /// Takes steps for bytes that something touches, which is much quicker.
  void touch(std::size_t n_bytes) { step(n_bytes / 32); }

  Value call(const Value& callee, const Arguments& arguments);
  Value apply_filter(std::string_view name, const Value& in, const Arguments& arguments);
  bool apply_test(std::string_view name, const Value& in, const Arguments& arguments);
  /// `of.name`, as templates say it.
  Value attribute(const Value& of, const std::string& name);
  Value item(const Value& of, const Value& key);
  /// What a loop over it sees.
  std::vector<Value> items_of(const Value& value);

 private:
  enum class Flow : std::uint8_t { kNext, kBreak, kContinue };
  using ScopePtr = std::shared_ptr<Scope>;

  Flow run(const Body& body, const ScopePtr& scope, Text& out);
  Flow run(const Statement& statement, const ScopePtr& scope, Text& out);
  Flow run_loop(const Statement& loop, const ScopePtr& scope, Text& out);
  void set(const Statement& statement, const ScopePtr& scope);
  void assign(const std::vector<std::string>& targets, const Value& value, Scope& scope);
  Value make_macro(const Statement& macro, const ScopePtr& scope);
  Value evaluate(const Expr& expr, const ScopePtr& scope);
  Value evaluate_binary(const Expr& expr, const ScopePtr& scope);
  Value evaluate_slice(const Expr& expr, const ScopePtr& scope);
  bool compare_by(const std::string& op, const Value& a, const Value& b);
  Arguments arguments_of(const Expr& expr, const ScopePtr& scope);
  void emit(const Text& text, Text& out);

  std::int64_t now_;
  std::uint64_t n_steps_ = 0;
  int depth_ = 0;
  std::size_t line_ = 0;
  ScopePtr globals_;
  const Text* inside_ = nullptr;  ///< Of a block that goes through filters.
};

/// The methods of strings, lists and dicts; an undefined value where there is none of that name.
Value method(const Value& of, const std::string& name);

/// Filters and tests by name; nullptr where there is none.
using Filter = Value (*)(Machine&, const Value& in, const Arguments& arguments);
using Test = bool (*)(Machine&, const Value& in, const Arguments& arguments);
Filter find_filter(std::string_view name);
Test find_test(std::string_view name);

/// range, namespace, dict, cycler, joiner, raise_exception, strftime_now.
void add_global_functions(Scope& scope);

/// The argument at `index`, or by `name`; `fallback` without it.
Value argument(const Arguments& arguments, std::size_t index, std::string_view name, Value fallback = Undefined{});

}  // namespace woolly::chat
