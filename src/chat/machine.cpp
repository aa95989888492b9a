#include "chat/machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace woolly::chat {
namespace {

/// Python's rules for the bounds of a slice.
struct Slice {
  std::int64_t begin, end, step;
};
Slice slice_of(const Value& begin, const Value& end, const Value& step, std::int64_t n) {
  const auto number = [](const Value& value, std::int64_t fallback) {
    if (value.is_none()) return fallback;
    if (!value.is_int()) fail(fmt::format("a slice has {} as a bound", value.type_name()));
    return value.to_int();
  };
  Slice slice{0, 0, number(step, 1)};
  if (slice.step == 0) fail("a slice has the step 0");
  const bool is_backward = slice.step < 0;
  const std::int64_t low = is_backward ? -1 : 0, high = is_backward ? n - 1 : n;
  const auto bound = [&](const Value& value, std::int64_t fallback) {
    std::int64_t at = number(value, fallback);
    if (value.is_none()) return at;
    if (at < 0) at = at < -n ? low : at + n;
    return std::clamp(at, low, high);
  };
  slice.step = std::clamp(slice.step, -n - 1, n + 1);  // so that no index overflows
  slice.begin = bound(begin, is_backward ? n - 1 : 0);
  slice.end = bound(end, is_backward ? -1 : n);
  return slice;
}

[[noreturn]] void fail_too_large() { fail("an integer is too large"); }

std::int64_t sum_of(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) fail_too_large();
  return sum;
}
std::int64_t difference_of(std::int64_t a, std::int64_t b) {
  std::int64_t difference = 0;
  if (__builtin_sub_overflow(a, b, &difference)) fail_too_large();
  return difference;
}
std::int64_t product_of(std::int64_t a, std::int64_t b) {
  std::int64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) fail_too_large();
  return product;
}

std::int64_t floor_div(std::int64_t a, std::int64_t b) {
  if (b == 0) fail("division by zero");
  if (b == -1) return difference_of(0, a);
  return a / b - (a % b != 0 && (a % b < 0) != (b < 0) ? 1 : 0);
}

std::int64_t power(std::int64_t base, std::int64_t exponent) {
  std::int64_t result = 1;
  for (std::int64_t i = 0; i < exponent; ++i) {
    result = product_of(result, base);
    if (result == 0 || (result == 1 && base == 1)) break;
    if (base == -1 && i > 1) return exponent % 2 == 0 ? 1 : -1;
  }
  return result;
}

Value arithmetic(const std::string& op, const Value& a, const Value& b) {
  if (op == "/") {
    if (b.to_double() == 0) fail("division by zero");
    return a.to_double() / b.to_double();
  }
  if (a.is_int() && b.is_int() && !(op == "**" && b.to_int() < 0)) {
    const std::int64_t x = a.to_int(), y = b.to_int();
    if (op == "+") return sum_of(x, y);
    if (op == "-") return difference_of(x, y);
    if (op == "*") return product_of(x, y);
    if (op == "//") return floor_div(x, y);
    if (op == "%") return y == -1 ? std::int64_t{0} : x - floor_div(x, y) * y;
    return power(x, y);
  }
  const double x = a.to_double(), y = b.to_double();
  if (op == "+") return x + y;
  if (op == "-") return x - y;
  if (op == "*") return x * y;
  if (op == "**") return std::pow(x, y);
  if (y == 0) fail("division by zero");
  if (op == "//") return std::floor(x / y);
  return x - std::floor(x / y) * y;
}

}  // namespace

Machine::Machine(std::int64_t now, const std::map<std::string, Value, std::less<>>& globals)
    : now_(now), globals_(std::make_shared<Scope>()) {
  add_global_functions(*globals_);
  for (const auto& [name, value] : globals) globals_->names.insert_or_assign(name, value);
}

Text Machine::render(const Body& body) {
  Text out;
  auto scope = std::make_shared<Scope>();
  scope->outer = globals_;
  try {
    run(body, scope, out);
  } catch (TemplateError& error) {
    scope->names.clear();  // macros hold the scope that holds them
    throw TemplateError{fmt::format("line {}: {}", line_, error.message)};
  }
  scope->names.clear();
  return out;
}

void Machine::step(std::uint64_t n) {
  n_steps_ += n;
  if (n_steps_ > kMaxSteps) fail(fmt::format("it takes more than {} steps", kMaxSteps));
}

void Machine::emit(const Text& text, Text& out) {
  touch(text.size());
  if (out.size() + text.size() > kMaxOutput) fail(fmt::format("it gives more than {} bytes", kMaxOutput));
  out += text;
}

Machine::Flow Machine::run(const Body& body, const ScopePtr& scope, Text& out) {
  for (const Statement& statement : body) {
    if (const Flow flow = run(statement, scope, out); flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Machine::Flow Machine::run(const Statement& statement, const ScopePtr& scope, Text& out) {
  step();
  line_ = statement.line;
  const auto inner_scope = [&] {
    auto inner = std::make_shared<Scope>();
    inner->outer = scope;
    return inner;
  };
  switch (statement.kind) {
    case StatementKind::kText: emit(statement.text, out); break;
    case StatementKind::kPrint: emit(to_text(evaluate(*statement.expr, scope)), out); break;
    case StatementKind::kIf:
      for (const Branch& branch : statement.branches) {
        if (!branch.condition || evaluate(*branch.condition, scope).is_true()) return run(branch.body, scope, out);
      }
      break;
    case StatementKind::kFor: return run_loop(statement, scope, out);
    case StatementKind::kSet: set(statement, scope); break;
    case StatementKind::kMacro: scope->names.insert_or_assign(statement.name, make_macro(statement, scope)); break;
    case StatementKind::kCallBlock: {
      const Expr& call_expr = *statement.expr;
      const Value callee = evaluate(*call_expr.args[0], scope);
      Arguments arguments = arguments_of(call_expr, scope);
      arguments.named.emplace_back("caller", make_macro(statement, scope));
      emit(to_text(call(callee, arguments)), out);
      break;
    }
    case StatementKind::kFilterBlock: {
      Text text;
      run(statement.body, inner_scope(), text);
      const Text* outer = std::exchange(inside_, &text);
      const Value filtered = evaluate(*statement.expr, scope);
      inside_ = outer;
      emit(to_text(filtered), out);
      break;
    }
    case StatementKind::kScope: {
      auto inner = inner_scope();
      for (std::size_t i = 0; i < statement.targets.size(); ++i) {
        inner->names.insert_or_assign(statement.targets[i], evaluate(*statement.values[i], scope));
      }
      // "generation" only marks what it holds; "with" has names of its own.
      const Flow flow = run(statement.body, statement.targets.empty() ? scope : inner, out);
      return flow;
    }
    case StatementKind::kBreak: return Flow::kBreak;
    case StatementKind::kContinue: return Flow::kContinue;
  }
  return Flow::kNext;
}

Machine::Flow Machine::run_loop(const Statement& loop, const ScopePtr& scope, Text& out) {
  std::vector<Value> items = items_of(evaluate(*loop.expr, scope));
  if (loop.condition) {
    std::vector<Value> kept;
    for (Value& item : items) {
      auto inner = std::make_shared<Scope>();
      inner->outer = scope;
      assign(loop.targets, item, *inner);
      if (evaluate(*loop.condition, inner).is_true()) kept.push_back(std::move(item));
    }
    items = std::move(kept);
  }
  const auto n = static_cast<std::int64_t>(items.size());
  auto changed = std::make_shared<Value>(Undefined{});
  for (std::int64_t i = 0; i < n; ++i) {
    step();
    auto inner = std::make_shared<Scope>();
    inner->outer = scope;
    const auto at = static_cast<std::size_t>(i);
    Dict state;
    const auto tell = [&](std::string_view name, Value value) { state.items.emplace_back(Value::own(name), std::move(value)); };
    tell("index", i + 1);
    tell("index0", i);
    tell("revindex", n - i);
    tell("revindex0", n - i - 1);
    tell("first", i == 0);
    tell("last", i == n - 1);
    tell("length", n);
    tell("depth", std::int64_t{1});
    tell("depth0", std::int64_t{0});
    tell("previtem", i > 0 ? items[at - 1] : Value(Undefined{"loop.previtem"}));
    tell("nextitem", i + 1 < n ? items[at + 1] : Value(Undefined{"loop.nextitem"}));
    tell("cycle", std::make_shared<const Function>(Function{[i](Machine&, const Arguments& arguments) -> Value {
           if (arguments.positional.empty()) fail("loop.cycle needs a value");
           return arguments.positional[static_cast<std::size_t>(i) % arguments.positional.size()];
         }}));
    tell("changed", std::make_shared<const Function>(Function{[changed](Machine&, const Arguments& arguments) -> Value {
           const Value now = List{arguments.positional, true};
           const bool is_other = !equal(*changed, now);
           *changed = now;
           return is_other;
         }}));
    state.is_namespace = true;
    inner->names.insert_or_assign("loop", std::move(state));
    assign(loop.targets, items[at], *inner);
    const Flow flow = run(loop.body, inner, out);
    inner->names.clear();  // macros that were made here hold it
    if (flow == Flow::kBreak) break;
  }
  return n == 0 ? run(loop.other, scope, out) : Flow::kNext;
}

void Machine::assign(const std::vector<std::string>& targets, const Value& value, Scope& scope) {
  if (targets.size() == 1) {
    scope.names.insert_or_assign(targets[0], value);
    return;
  }
  const std::vector<Value> parts = items_of(value);
  if (parts.size() != targets.size()) fail(fmt::format("{} values for {} names", parts.size(), targets.size()));
  for (std::size_t i = 0; i < parts.size(); ++i) scope.names.insert_or_assign(targets[i], parts[i]);
}

void Machine::set(const Statement& statement, const ScopePtr& scope) {
  Value value;
  if (statement.is_block) {
    Text text;
    auto inner = std::make_shared<Scope>();
    inner->outer = scope;
    run(statement.body, inner, text);
    const Text* outer = std::exchange(inside_, &text);
    value = evaluate(*statement.expr, scope);
    inside_ = outer;
  } else {
    value = evaluate(*statement.expr, scope);
  }
  if (statement.attribute.empty()) return assign(statement.targets, value, *scope);
  for (const Scope* at = scope.get(); at != nullptr; at = at->outer.get()) {
    const auto found = at->names.find(statement.targets[0]);
    if (found == at->names.end()) continue;
    Dict* dict = found->second.dict();
    if (dict == nullptr || !dict->is_namespace) break;
    dict->set(Value::own(statement.attribute), std::move(value));
    return;
  }
  fail(fmt::format("\"{}\" is no namespace, so \"{}\" cannot be set in it", statement.targets[0], statement.attribute));
}

Value Machine::make_macro(const Statement& macro, const ScopePtr& scope) {
  // The statement belongs to the template, which lives longer than the machine.
  return std::make_shared<const Function>(Function{[&macro, scope](Machine& machine, const Arguments& arguments) -> Value {
    auto inner = std::make_shared<Scope>();
    inner->outer = scope;
    std::size_t n_positional = 0;
    List more;
    Dict more_named;
    const auto named = [&](std::string_view name) -> const Value* {
      for (const auto& [other, value] : arguments.named) {
        if (other == name) return &value;
      }
      return nullptr;
    };
    for (const Parameter& parameter : macro.parameters) {
      Value value = Undefined{parameter.name};
      if (n_positional < arguments.positional.size()) {
        value = arguments.positional[n_positional++];
      } else if (const Value* given = named(parameter.name)) {
        value = *given;
      } else if (parameter.fallback) {
        value = machine.evaluate(*parameter.fallback, inner);
      }
      inner->names.insert_or_assign(parameter.name, std::move(value));
    }
    for (; n_positional < arguments.positional.size(); ++n_positional) more.items.push_back(arguments.positional[n_positional]);
    for (const auto& [name, value] : arguments.named) {
      if (name == "caller") {
        inner->names.insert_or_assign("caller", value);
      } else if (!inner->names.contains(name)) {
        more_named.items.emplace_back(Value::own(name), value);
      }
    }
    inner->names.try_emplace("varargs", std::move(more));
    inner->names.try_emplace("kwargs", std::move(more_named));
    Text out;
    machine.run(macro.body, inner, out);
    inner->names.clear();
    return out;
  }});
}

Value Machine::call(const Value& callee, const Arguments& arguments) {
  if (!callee.is<FunctionPtr>()) fail(fmt::format("{} cannot be called", callee.is_undefined() ? fmt::format("\"{}\", which is undefined,", callee.as<Undefined>().name) : std::string(callee.type_name())));
  step();
  if (++depth_ > kMaxDepth) fail(fmt::format("calls are nested more than {} deep", kMaxDepth));
  const FunctionPtr function = callee.as<FunctionPtr>();
  Value value = function->call(*this, arguments);
  --depth_;
  return value;
}

Value Machine::apply_filter(std::string_view name, const Value& in, const Arguments& arguments) {
  const Filter filter = find_filter(name);
  if (filter == nullptr) fail(fmt::format("there is no filter \"{}\"", name));
  step();
  if (in.text() != nullptr) touch(in.text()->size());
  return filter(*this, in, arguments);
}

bool Machine::apply_test(std::string_view name, const Value& in, const Arguments& arguments) {
  const Test test = find_test(name);
  if (test == nullptr) fail(fmt::format("there is no test \"{}\"", name));
  step();
  return test(*this, in, arguments);
}

Value Machine::attribute(const Value& of, const std::string& name) {
  if (of.is_undefined()) fail(fmt::format("\"{}\" is undefined, so it has no \"{}\"", of.as<Undefined>().name, name));
  const Dict* dict = of.dict();
  if (dict == nullptr || !dict->is_namespace) {
    if (Value found = method(of, name); !found.is_undefined()) return found;
  }
  if (dict != nullptr) {
    step(dict->items.size() / 16);
    if (const Value* found = dict->find(name)) return *found;
  }
  return Undefined{name};
}

Value Machine::item(const Value& of, const Value& key) {
  if (of.is_undefined()) fail(fmt::format("\"{}\" is undefined, so it has no items", of.as<Undefined>().name));
  if (const Dict* dict = of.dict()) {
    step(dict->items.size() / 16);
    if (const Value* found = dict->find(key)) return *found;
  }
  if (key.is_int() && (of.list() != nullptr || of.text() != nullptr)) {
    std::int64_t at = key.to_int();
    if (const List* list = of.list()) {
      const auto n = static_cast<std::int64_t>(list->items.size());
      if (at < 0) at += n;
      return at >= 0 && at < n ? list->items[static_cast<std::size_t>(at)] : Value(Undefined{"an item past the end"});
    }
    touch(of.text()->size());
    const std::vector<std::size_t> begins = code_points(of.text()->bytes());
    const auto n = static_cast<std::int64_t>(begins.size()) - 1;
    if (at < 0) at += n;
    if (at < 0 || at >= n) return Undefined{"a character past the end"};
    const auto i = static_cast<std::size_t>(at);
    return of.text()->substr(begins[i], begins[i + 1] - begins[i]);
  }
  if (key.text() != nullptr && of.text() == nullptr) return attribute(of, key.text()->bytes());
  if (key.text() != nullptr) return method(of, key.text()->bytes());
  return Undefined{"an item"};
}

std::vector<Value> Machine::items_of(const Value& value) {
  if (value.is_undefined()) return {};
  std::vector<Value> items;
  if (const List* list = value.list()) {
    items = list->items;
  } else if (const Dict* dict = value.dict(); dict != nullptr && !dict->is_namespace) {
    for (const auto& [key, item] : dict->items) items.push_back(key);
  } else if (const Text* text = value.text()) {
    const std::vector<std::size_t> begins = code_points(text->bytes());
    for (std::size_t i = 0; i + 1 < begins.size(); ++i) items.emplace_back(text->substr(begins[i], begins[i + 1] - begins[i]));
  } else {
    fail(fmt::format("{} has no items to go through", value.type_name()));
  }
  step(items.size());
  return items;
}

Arguments Machine::arguments_of(const Expr& expr, const ScopePtr& scope) {
  Arguments arguments;
  for (std::size_t i = 1; i < expr.args.size(); ++i) arguments.positional.push_back(evaluate(*expr.args[i], scope));
  for (const auto& [name, value] : expr.named) arguments.named.emplace_back(name, evaluate(*value, scope));
  return arguments;
}

Value Machine::evaluate(const Expr& expr, const ScopePtr& scope) {
  step();
  line_ = expr.line;
  const auto arg = [&](std::size_t i) { return evaluate(*expr.args[i], scope); };
  switch (expr.kind) {
    case ExprKind::kLiteral: return expr.value;
    case ExprKind::kBlock: return *inside_;
    case ExprKind::kName:
      for (const Scope* at = scope.get(); at != nullptr; at = at->outer.get()) {
        const auto found = at->names.find(expr.name);
        if (found != at->names.end()) return found->second;
      }
      return Undefined{expr.name};
    case ExprKind::kList:
    case ExprKind::kTuple: {
      List list{{}, expr.kind == ExprKind::kTuple};
      for (const ExprPtr& item : expr.args) list.items.push_back(evaluate(*item, scope));
      return list;
    }
    case ExprKind::kDict: {
      Dict dict;
      for (std::size_t i = 0; i < expr.args.size(); i += 2) dict.set(arg(i), arg(i + 1));
      return dict;
    }
    case ExprKind::kAttribute: return attribute(arg(0), expr.name);
    case ExprKind::kItem: return item(arg(0), arg(1));
    case ExprKind::kSlice: return evaluate_slice(expr, scope);
    case ExprKind::kCall: {
      const Value callee = arg(0);
      return call(callee, arguments_of(expr, scope));
    }
    case ExprKind::kFilter: {
      const Value in = arg(0);
      return apply_filter(expr.name, in, arguments_of(expr, scope));
    }
    case ExprKind::kTest: {
      const Value in = arg(0);
      return apply_test(expr.name, in, arguments_of(expr, scope));
    }
    case ExprKind::kNot: return !arg(0).is_true();
    case ExprKind::kNegative:
    case ExprKind::kPositive: {
      const Value value = arg(0);
      if (!value.is_number()) fail(fmt::format("{} has no sign", value.type_name()));
      if (expr.kind == ExprKind::kPositive) return value.is<bool>() ? Value(value.to_int()) : value;
      if (value.is<double>()) return -value.as<double>();
      return difference_of(0, value.to_int());
    }
    case ExprKind::kAnd: {
      Value left = arg(0);
      return left.is_true() ? arg(1) : left;
    }
    case ExprKind::kOr: {
      Value left = arg(0);
      return left.is_true() ? left : arg(1);
    }
    case ExprKind::kConditional:
      if (arg(1).is_true()) return arg(0);
      return expr.args[2] ? arg(2) : Value(Undefined{"a condition without else"});
    case ExprKind::kBinary: return evaluate_binary(expr, scope);
    case ExprKind::kCompare: {
      Value left = arg(0);
      for (std::size_t i = 0; i < expr.operators.size(); ++i) {
        Value right = arg(i + 1);
        if (!compare_by(expr.operators[i], left, right)) return false;
        left = std::move(right);
      }
      return true;
    }
  }
  return {};
}

bool Machine::compare_by(const std::string& op, const Value& a, const Value& b) {
  if (op == "==") return equal(a, b);
  if (op == "!=") return !equal(a, b);
  if (op == "in" || op == "not in") {
    bool is_in = false;
    if (b.text() != nullptr) {
      if (a.text() == nullptr) fail(fmt::format("{} cannot be looked for in a string", a.type_name()));
      touch(b.text()->size());
      is_in = b.text()->bytes().find(a.text()->bytes()) != std::string::npos;
    } else if (b.dict() != nullptr) {
      step(b.dict()->items.size());
      is_in = b.dict()->find(a) != nullptr;
    } else {
      is_in = std::ranges::any_of(items_of(b), [&](const Value& item) { return equal(a, item); });
    }
    return is_in == (op == "in");
  }
  const int order = compare(a, b);
  if (op == "<") return order < 0;
  if (op == ">") return order > 0;
  return op == "<=" ? order <= 0 : order >= 0;
}

Value Machine::evaluate_binary(const Expr& expr, const ScopePtr& scope) {
  const Value a = evaluate(*expr.args[0], scope), b = evaluate(*expr.args[1], scope);
  const std::string& op = expr.name;
  const auto joined = [&](Text left, const Text& right) {
    touch(left.size() + right.size());
    if (left.size() + right.size() > kMaxOutput) fail(fmt::format("a string has more than {} bytes", kMaxOutput));
    left += right;
    return left;
  };
  if (op == "~") return joined(to_text(a), to_text(b));
  if (a.is_number() && b.is_number()) return arithmetic(op, a, b);
  if (op == "+" && a.text() != nullptr && b.text() != nullptr) return joined(*a.text(), *b.text());
  if (op == "+" && a.list() != nullptr && b.list() != nullptr && a.list()->is_tuple == b.list()->is_tuple) {
    List list = *a.list();
    step(list.items.size() + b.list()->items.size());
    list.items.insert(list.items.end(), b.list()->items.begin(), b.list()->items.end());
    return list;
  }
  if (op == "*" && (a.is_int() || b.is_int())) {
    const Value& of = a.is_int() ? b : a;
    const std::int64_t n = std::max<std::int64_t>(0, a.is_int() ? a.to_int() : b.to_int());
    if (const Text* text = of.text()) {
      if (!text->empty() && static_cast<std::uint64_t>(n) > kMaxOutput / text->size()) fail("a repeated string is too long");
      Text out;
      if (!text->empty()) step(static_cast<std::uint64_t>(n));
      touch(static_cast<std::size_t>(n) * text->size());
      for (std::int64_t i = 0; i < n && !text->empty(); ++i) out += *text;
      return out;
    }
    if (const List* list = of.list()) {
      step(static_cast<std::uint64_t>(n) > kMaxSteps ? kMaxSteps : static_cast<std::uint64_t>(n) * list->items.size());
      List out{{}, list->is_tuple};
      for (std::int64_t i = 0; i < n && !list->items.empty(); ++i) {
        out.items.insert(out.items.end(), list->items.begin(), list->items.end());
      }
      return out;
    }
  }
  if (op == "%" && a.text() != nullptr) {  // "%s" and "%d", one after the other
    std::vector<Value> values = b.list() != nullptr && b.list()->is_tuple ? b.list()->items : std::vector<Value>{b};
    Text out;
    std::size_t next = 0;
    const std::string& bytes = a.text()->bytes();
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      if (bytes[i] != '%' || i + 1 == bytes.size()) {
        out += a.text()->substr(i, 1);
      } else if (bytes[++i] == '%') {
        out += a.text()->substr(i, 1);
      } else if ((bytes[i] == 's' || bytes[i] == 'd') && next < values.size()) {
        out += to_text(values[next++]);
      } else {
        fail("a string is formatted by something else than %s and %d, or has too few values");
      }
    }
    if (next != values.size()) fail("a string is formatted with too many values");
    return out;
  }
  const auto name = [](const Value& value) {
    return value.is_undefined() ? fmt::format("\"{}\", which is undefined,", value.as<Undefined>().name)
                                : std::string(value.type_name());
  };
  fail(fmt::format("{} {} {} has no meaning", name(a), op, name(b)));
}

Value Machine::evaluate_slice(const Expr& expr, const ScopePtr& scope) {
  const Value of = evaluate(*expr.args[0], scope);
  Value bounds[3];
  for (std::size_t i = 0; i < 3; ++i) {
    if (expr.args[i + 1]) bounds[i] = evaluate(*expr.args[i + 1], scope);
  }
  if (of.is_undefined()) fail(fmt::format("\"{}\" is undefined, so it has no items", of.as<Undefined>().name));
  if (const List* list = of.list()) {
    const auto slice = slice_of(bounds[0], bounds[1], bounds[2], static_cast<std::int64_t>(list->items.size()));
    List out{{}, list->is_tuple};
    for (std::int64_t i = slice.begin; slice.step > 0 ? i < slice.end : i > slice.end; i += slice.step) {
      out.items.push_back(list->items[static_cast<std::size_t>(i)]);
    }
    step(out.items.size());
    return out;
  }
  const Text* text = of.text();
  if (text == nullptr) fail(fmt::format("{} cannot be cut", of.type_name()));
  touch(text->size());
  const std::vector<std::size_t> begins = code_points(text->bytes());
  const auto slice = slice_of(bounds[0], bounds[1], bounds[2], static_cast<std::int64_t>(begins.size()) - 1);
  if (slice.step == 1) {
    if (slice.begin >= slice.end) return Text();
    const std::size_t begin = begins[static_cast<std::size_t>(slice.begin)];
    return text->substr(begin, begins[static_cast<std::size_t>(slice.end)] - begin);
  }
  Text out;
  for (std::int64_t i = slice.begin; slice.step > 0 ? i < slice.end : i > slice.end; i += slice.step) {
    const auto at = static_cast<std::size_t>(i);
    out += text->substr(begins[at], begins[at + 1] - begins[at]);
  }
  return out;
}

Value argument(const Arguments& arguments, std::size_t index, std::string_view name, Value fallback) {
  if (index < arguments.positional.size()) return arguments.positional[index];
  for (const auto& [other, value] : arguments.named) {
    if (other == name) return value;
  }
  return fallback;
}

}  // namespace woolly::chat
