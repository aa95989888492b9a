#include "chat/syntax.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <optional>

namespace woolly::chat {
namespace {

/// Of expressions and blocks in each other: the parser and the renderer call themselves for each.
constexpr int kMaxDepth = 120;

enum class TokenKind : std::uint8_t { kName, kInteger, kFloat, kString, kOperator, kEnd };

struct Token {
  TokenKind kind;
  std::string text;
  std::size_t line;
};

[[noreturn]] void fail_at(std::size_t line, std::string_view message) { fail(fmt::format("line {}: {}", line, message)); }

bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f'; }

/// Cuts the inside of a tag into tokens.
class Lexer {
 public:
  Lexer(std::string_view source, std::size_t at, std::size_t line) : source_(source), at_(at), line_(line) {}

  /// Up to `end` ("}}" or "%}", possibly with a sign before); `at` is behind it then, and `trims` says that the sign was
  /// '-', `keeps` that it was '+'.
  std::vector<Token> until(std::string_view end, bool& trims, bool& keeps) {
    std::vector<Token> tokens;
    int n_open = 0;
    for (;;) {
      skip_space();
      if (at_ >= source_.size()) fail_at(line_, fmt::format("a tag does not end with {}", end));
      trims = keeps = false;
      const std::string_view rest = source_.substr(at_);
      if (n_open == 0 && (rest[0] == '-' || rest[0] == '+') && rest.substr(1).starts_with(end)) {
        trims = rest[0] == '-';
        keeps = rest[0] == '+';
        at_ += 1 + end.size();
        break;
      }
      if (n_open == 0 && rest.starts_with(end)) {
        at_ += end.size();
        break;
      }
      tokens.push_back(next());
      const std::string& text = tokens.back().text;
      if (tokens.back().kind != TokenKind::kOperator) continue;
      if (text == "(" || text == "[" || text == "{") ++n_open;
      if ((text == ")" || text == "]" || text == "}") && --n_open < 0) fail_at(line_, fmt::format("\"{}\" closes nothing", text));
    }
    tokens.push_back({TokenKind::kEnd, "", line_});
    return tokens;
  }

  [[nodiscard]] std::size_t at() const { return at_; }
  [[nodiscard]] std::size_t line() const { return line_; }

 private:
  void skip_space() {
    while (at_ < source_.size() && is_space(source_[at_])) {
      if (source_[at_] == '\n') ++line_;
      ++at_;
    }
  }

  Token next() {
    const char c = source_[at_];
    const std::size_t begin = at_;
    if (is_name_start(c)) {
      while (at_ < source_.size() && (is_name_start(source_[at_]) || is_digit(source_[at_]))) ++at_;
      return {TokenKind::kName, std::string(source_.substr(begin, at_ - begin)), line_};
    }
    if (is_digit(c)) return number();
    if (c == '"' || c == '\'') return string(c);
    for (const std::string_view op : {"**", "//", "==", "!=", "<=", ">="}) {
      if (source_.substr(at_).starts_with(op)) {
        at_ += op.size();
        return {TokenKind::kOperator, std::string(op), line_};
      }
    }
    if (std::string_view("+-*/%~<>=()[]{},.:|").find(c) == std::string_view::npos) {
      fail_at(line_, fmt::format("unexpected byte 0x{:02x}", static_cast<unsigned>(static_cast<unsigned char>(c))));
    }
    ++at_;
    return {TokenKind::kOperator, std::string(1, c), line_};
  }

  Token number() {
    const std::size_t begin = at_;
    bool is_float = false;
    const auto digits = [&] {
      while (at_ < source_.size() && (is_digit(source_[at_]) || source_[at_] == '_')) ++at_;
    };
    digits();
    if (at_ + 1 < source_.size() && source_[at_] == '.' && is_digit(source_[at_ + 1])) {
      is_float = true;
      ++at_;
      digits();
    }
    if (at_ < source_.size() && (source_[at_] == 'e' || source_[at_] == 'E')) {
      std::size_t digit = at_ + 1;
      if (digit < source_.size() && (source_[digit] == '+' || source_[digit] == '-')) ++digit;
      if (digit < source_.size() && is_digit(source_[digit])) {
        is_float = true;
        at_ = digit;
        digits();
      }
    }
    std::string text(source_.substr(begin, at_ - begin));
    std::erase(text, '_');
    return {is_float ? TokenKind::kFloat : TokenKind::kInteger, std::move(text), line_};
  }

  Token string(char quote) {
    const std::size_t line = line_;
    std::string text;
    for (++at_;; ++at_) {
      if (at_ >= source_.size()) fail_at(line, "a string does not end");
      char c = source_[at_];
      if (c == '\n') ++line_;
      if (c == quote) break;
      if (c != '\\') {
        text += c;
        continue;
      }
      if (++at_ >= source_.size()) fail_at(line, "a string does not end");
      c = source_[at_];
      switch (c) {
        case 'n': text += '\n'; break;
        case 't': text += '\t'; break;
        case 'r': text += '\r'; break;
        case 'b': text += '\b'; break;
        case 'f': text += '\f'; break;
        case 'v': text += '\v'; break;
        case 'a': text += '\a'; break;
        case '0': text += '\0'; break;
        case '\\': case '\'': case '"': text += c; break;
        case '\n': ++line_; break;
        case 'x': append_code_point(2, line, text); break;
        case 'u': append_code_point(4, line, text); break;
        case 'U': append_code_point(8, line, text); break;
        default: text += '\\'; text += c; break;
      }
    }
    ++at_;
    return {TokenKind::kString, std::move(text), line};
  }

  void append_code_point(std::size_t n_digits, std::size_t line, std::string& text) {
    std::uint32_t code = 0;
    const char* begin = source_.data() + at_ + 1;
    const std::size_t n = std::min(n_digits, source_.size() - at_ - 1);
    const auto [end, failed] = std::from_chars(begin, begin + n, code, 16);
    if (failed != std::errc() || end != begin + n_digits || code > 0x10FFFF) fail_at(line, "a bad escape in a string");
    at_ += n_digits;
    if (code < 0x80) {
      text += static_cast<char>(code);
    } else if (code < 0x800) {
      text += static_cast<char>(0xC0 | code >> 6U);
      text += static_cast<char>(0x80 | (code & 0x3FU));
    } else if (code < 0x10000) {
      text += static_cast<char>(0xE0 | code >> 12U);
      text += static_cast<char>(0x80 | (code >> 6U & 0x3FU));
      text += static_cast<char>(0x80 | (code & 0x3FU));
    } else {
      text += static_cast<char>(0xF0 | code >> 18U);
      text += static_cast<char>(0x80 | (code >> 12U & 0x3FU));
      text += static_cast<char>(0x80 | (code >> 6U & 0x3FU));
      text += static_cast<char>(0x80 | (code & 0x3FU));
    }
  }

  std::string_view source_;
  std::size_t at_, line_;
};

/// Reads expressions from the tokens of a tag, in the order of binding that Jinja's parser has.
class ExprParser {
 public:
  explicit ExprParser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  [[nodiscard]] const Token& peek(std::size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  [[nodiscard]] std::size_t line() const { return peek().line; }
  [[nodiscard]] bool is_operator(std::string_view text) const {
    return peek().kind == TokenKind::kOperator && peek().text == text;
  }
  [[nodiscard]] bool is_name(std::string_view text) const { return peek().kind == TokenKind::kName && peek().text == text; }
  bool skip_operator(std::string_view text) { return skip_if(is_operator(text)); }
  bool skip_name(std::string_view text) { return skip_if(is_name(text)); }
  void expect_operator(std::string_view text) {
    if (!skip_operator(text)) fail_at(line(), fmt::format("expected \"{}\", found {}", text, found()));
  }
  std::string expect_name() {
    if (peek().kind != TokenKind::kName) fail_at(line(), fmt::format("expected a name, found {}", found()));
    return tokens_[at_++].text;
  }
  void expect_end() const {
    if (peek().kind != TokenKind::kEnd) fail_at(line(), fmt::format("unexpected {}", found()));
  }
  [[nodiscard]] std::string found() const {
    return peek().kind == TokenKind::kEnd ? "the end of the tag" : fmt::format("\"{}\"", peek().text.substr(0, 40));
  }

  ExprPtr expression() {
    const Nested nested(*this);
    return conditional();
  }

  /// An expression, or several with commas between: a tuple.
  ExprPtr tuple() {
    ExprPtr first = expression();
    if (!is_operator(",")) return first;
    ExprPtr all = make(ExprKind::kTuple, std::move(first));
    while (skip_operator(",")) {
      if (peek().kind == TokenKind::kEnd) break;
      all->args.push_back(expression());
    }
    return all;
  }

  /// Without `a if b else c`, as what follows `in` may have a condition of the loop.
  ExprPtr without_condition() {
    const Nested nested(*this);
    ExprPtr first = disjunction();
    if (!is_operator(",")) return first;
    ExprPtr all = make(ExprKind::kTuple, std::move(first));
    while (skip_operator(",")) all->args.push_back(disjunction());
    return all;
  }

  std::vector<std::string> names() {
    std::vector<std::string> names;
    const bool has_parenthesis = skip_operator("(");
    names.push_back(expect_name());
    while (skip_operator(",")) names.push_back(expect_name());
    if (has_parenthesis) expect_operator(")");
    return names;
  }

  std::vector<Parameter> parameters() {
    std::vector<Parameter> parameters;
    expect_operator("(");
    while (!is_operator(")")) {
      if (!parameters.empty()) expect_operator(",");
      if (is_operator(")")) break;
      parameters.push_back({expect_name(), nullptr});
      if (skip_operator("=")) parameters.back().fallback = expression();
    }
    expect_operator(")");
    return parameters;
  }

  /// The filters of `{% filter a|b %}` and `{% set x | a %}`, on `in`.
  ExprPtr filters(ExprPtr in, bool is_first_named) {
    if (is_first_named) in = filter(std::move(in));
    while (skip_operator("|")) in = filter(std::move(in));
    return in;
  }

  [[nodiscard]] ExprPtr make(ExprKind kind) const {
    auto expr = std::make_unique<Expr>();
    expr->kind = kind;
    expr->line = line();
    return expr;
  }

 private:
  bool skip_if(bool is_it) {
    if (is_it) ++at_;
    return is_it;
  }

  struct Nested {
    ExprParser& parser;
    explicit Nested(ExprParser& of) : parser(of) {
      if (++parser.depth_ > kMaxDepth) fail_at(parser.line(), fmt::format("expressions are nested more than {} deep", kMaxDepth));
    }
    ~Nested() { --parser.depth_; }
    Nested(const Nested&) = delete;
    Nested& operator=(const Nested&) = delete;
  };

  ExprPtr make(ExprKind kind, ExprPtr first, ExprPtr second = nullptr) const {
    ExprPtr expr = make(kind);
    expr->args.push_back(std::move(first));
    if (second) expr->args.push_back(std::move(second));
    return expr;
  }

  /// Long chains nest to the left: as deep as they are long.
  void check_chain(int& n) const {
    if (++n > kMaxDepth) fail_at(line(), fmt::format("a chain of more than {} operators", kMaxDepth));
  }

  ExprPtr conditional() {
    ExprPtr expr = disjunction();
    int n = 0;
    while (skip_name("if")) {
      check_chain(n);
      ExprPtr choice = make(ExprKind::kConditional, std::move(expr));
      choice->args.push_back(disjunction());
      choice->args.push_back(skip_name("else") ? expression() : nullptr);
      expr = std::move(choice);
    }
    return expr;
  }

  ExprPtr disjunction() {
    ExprPtr left = conjunction();
    int n = 0;
    while (skip_name("or")) {
      check_chain(n);
      left = make(ExprKind::kOr, std::move(left), conjunction());
    }
    return left;
  }

  ExprPtr conjunction() {
    ExprPtr left = negation();
    int n = 0;
    while (skip_name("and")) {
      check_chain(n);
      left = make(ExprKind::kAnd, std::move(left), negation());
    }
    return left;
  }

  ExprPtr negation() {
    const Nested nested(*this);
    if (is_name("not") && !(peek(1).kind == TokenKind::kName && peek(1).text == "in")) {
      ++at_;
      return make(ExprKind::kNot, negation());
    }
    return comparison();
  }

  ExprPtr comparison() {
    ExprPtr first = sum();
    ExprPtr chain;
    const auto add = [&](std::string op) {
      if (!chain) chain = make(ExprKind::kCompare, std::move(first));
      chain->operators.push_back(std::move(op));
      chain->args.push_back(sum());
    };
    for (;;) {
      const Token& token = peek();
      if (token.kind == TokenKind::kOperator &&
          (token.text == "==" || token.text == "!=" || token.text == "<" || token.text == ">" || token.text == "<=" ||
           token.text == ">=")) {
        std::string op = tokens_[at_++].text;
        add(std::move(op));
      } else if (skip_name("in")) {
        add("in");
      } else if (is_name("not") && peek(1).kind == TokenKind::kName && peek(1).text == "in") {
        at_ += 2;
        add("not in");
      } else {
        return chain ? std::move(chain) : std::move(first);
      }
    }
  }

  template <typename Operand>
  ExprPtr left_to_right(std::initializer_list<std::string_view> operators, Operand operand) {
    ExprPtr left = operand();
    int n = 0;
    for (;;) {
      const auto op = std::ranges::find_if(operators, [&](std::string_view text) { return is_operator(text); });
      if (op == operators.end()) return left;
      check_chain(n);
      ++at_;
      ExprPtr both = make(ExprKind::kBinary, std::move(left), operand());
      both->name = *op;
      left = std::move(both);
    }
  }

  ExprPtr sum() {
    return left_to_right({"+", "-"}, [&] { return concatenation(); });
  }
  ExprPtr concatenation() {
    return left_to_right({"~"}, [&] { return product(); });
  }
  ExprPtr product() {
    return left_to_right({"*", "/", "//", "%"}, [&] { return power(); });
  }
  ExprPtr power() {
    return left_to_right({"**"}, [&] { return unary(true); });
  }

  ExprPtr unary(bool with_filters) {
    const Nested nested(*this);
    ExprPtr expr;
    if (skip_operator("-")) {
      expr = make(ExprKind::kNegative, unary(false));
    } else if (skip_operator("+")) {
      expr = make(ExprKind::kPositive, unary(false));
    } else {
      expr = postfix(primary());
    }
    return with_filters ? filters_and_tests(std::move(expr)) : std::move(expr);
  }

  ExprPtr filters_and_tests(ExprPtr expr) {
    for (int n = 0;;) {
      if (skip_operator("|")) {
        expr = filter(std::move(expr));
      } else if (skip_name("is")) {
        expr = test(std::move(expr));
      } else if (is_operator("(")) {
        expr = call(std::move(expr));
      } else {
        return expr;
      }
      check_chain(n);
    }
  }

  ExprPtr filter(ExprPtr in) {
    ExprPtr expr = make(ExprKind::kFilter, std::move(in));
    expr->name = expect_name();
    if (is_operator("(")) arguments(*expr);
    return expr;
  }

  ExprPtr test(ExprPtr in) {
    const bool is_negated = skip_name("not");
    ExprPtr expr = make(ExprKind::kTest, std::move(in));
    expr->name = expect_name();
    const Token& next = peek();
    const bool is_word = next.kind == TokenKind::kName && next.text != "else" && next.text != "or" && next.text != "and" &&
                         next.text != "is" && next.text != "if" && next.text != "in" && next.text != "not";
    const bool is_value = next.kind == TokenKind::kString || next.kind == TokenKind::kInteger ||
                          next.kind == TokenKind::kFloat || is_operator("[") || is_operator("{");
    if (is_operator("(")) {
      arguments(*expr);
    } else if (is_word || is_value) {
      expr->args.push_back(postfix(primary()));
    }
    return is_negated ? make(ExprKind::kNot, std::move(expr)) : std::move(expr);
  }

  ExprPtr call(ExprPtr callee) {
    ExprPtr expr = make(ExprKind::kCall, std::move(callee));
    arguments(*expr);
    return expr;
  }

  void arguments(Expr& to) {
    expect_operator("(");
    while (!is_operator(")")) {
      if (peek().kind == TokenKind::kName && peek(1).kind == TokenKind::kOperator && peek(1).text == "=") {
        std::string name = expect_name();
        ++at_;
        to.named.emplace_back(std::move(name), expression());
      } else {
        if (!to.named.empty()) fail_at(line(), "an argument without a name follows one with a name");
        to.args.push_back(expression());
      }
      if (!skip_operator(",")) break;
    }
    expect_operator(")");
  }

  ExprPtr postfix(ExprPtr expr) {
    for (int n = 0;;) {
      if (skip_operator(".")) {
        if (peek().kind == TokenKind::kInteger) {
          ExprPtr item = make(ExprKind::kItem, std::move(expr));
          item->args.push_back(primary());
          expr = std::move(item);
        } else {
          expr = make(ExprKind::kAttribute, std::move(expr));
          expr->name = expect_name();
        }
      } else if (skip_operator("[")) {
        expr = subscript(std::move(expr));
      } else if (is_operator("(")) {
        expr = call(std::move(expr));
      } else {
        return expr;
      }
      check_chain(n);
    }
  }

  ExprPtr subscript(ExprPtr of) {
    ExprPtr parts[3];
    std::size_t n_colons = 0;
    const auto part = [&]() -> ExprPtr { return is_operator(":") || is_operator("]") ? nullptr : expression(); };
    parts[0] = part();
    while (n_colons < 2 && skip_operator(":")) parts[++n_colons] = part();
    expect_operator("]");
    if (n_colons == 0) {
      if (!parts[0]) fail_at(line(), "an empty subscript");
      return make(ExprKind::kItem, std::move(of), std::move(parts[0]));
    }
    ExprPtr slice = make(ExprKind::kSlice, std::move(of));
    for (ExprPtr& each : parts) slice->args.push_back(std::move(each));
    return slice;
  }

  ExprPtr literal(Value value) {
    ExprPtr expr = make(ExprKind::kLiteral);
    expr->value = std::move(value);
    ++at_;
    return expr;
  }

  ExprPtr primary() {
    const Nested nested(*this);
    const Token& token = peek();
    switch (token.kind) {
      case TokenKind::kName: {
        if (token.text == "true" || token.text == "True") return literal(true);
        if (token.text == "false" || token.text == "False") return literal(false);
        if (token.text == "none" || token.text == "None") return literal({});
        ExprPtr expr = make(ExprKind::kName);
        expr->name = expect_name();
        return expr;
      }
      case TokenKind::kString: {
        std::string text;
        ExprPtr expr = make(ExprKind::kLiteral);
        while (peek().kind == TokenKind::kString) text += tokens_[at_++].text;  // neighbours are one
        expr->value = Value::own(text);
        return expr;
      }
      case TokenKind::kInteger: {
        std::int64_t number = 0;
        const auto [end, failed] = std::from_chars(token.text.data(), token.text.data() + token.text.size(), number);
        if (failed != std::errc()) fail_at(token.line, fmt::format("{} is too large", token.text.substr(0, 40)));
        return literal(number);
      }
      case TokenKind::kFloat: {
        double number = 0;
        std::from_chars(token.text.data(), token.text.data() + token.text.size(), number);
        return literal(number);
      }
      case TokenKind::kOperator: break;
      case TokenKind::kEnd: fail_at(token.line, "the tag ends where a value was expected");
    }
    if (skip_operator("(")) {
      if (skip_operator(")")) return make(ExprKind::kTuple);
      ExprPtr inner = expression();
      if (is_operator(",")) {
        inner = make(ExprKind::kTuple, std::move(inner));
        while (skip_operator(",")) {
          if (is_operator(")")) break;
          inner->args.push_back(expression());
        }
      }
      expect_operator(")");
      return inner;
    }
    if (skip_operator("[")) {
      ExprPtr list = make(ExprKind::kList);
      while (!is_operator("]")) {
        list->args.push_back(expression());
        if (!skip_operator(",")) break;
      }
      expect_operator("]");
      return list;
    }
    if (skip_operator("{")) {
      ExprPtr dict = make(ExprKind::kDict);
      while (!is_operator("}")) {
        dict->args.push_back(expression());
        expect_operator(":");
        dict->args.push_back(expression());
        if (!skip_operator(",")) break;
      }
      expect_operator("}");
      return dict;
    }
    fail_at(line(), fmt::format("unexpected {}", found()));
  }

  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

class Parser {
 public:
  explicit Parser(std::string_view source) : source_(source) {}

  Body parse() {
    Body body = block({}, 0);
    return body;
  }

 private:
  /// Statements up to a tag whose name is one of `ends`; with none, up to the end of the source. What the tag has besides
  /// its name is left in `tag_`.
  Body block(std::initializer_list<std::string_view> ends, int depth) {
    if (depth > kMaxDepth) fail_at(line_, fmt::format("blocks are nested more than {} deep", kMaxDepth));
    Body body;
    for (;;) {
      text(body);
      if (at_ >= source_.size()) {
        if (ends.size() == 0) return body;
        fail_at(line_, fmt::format("the template ends before \"{}\"", *(ends.end() - 1)));
      }
      const char kind = source_[at_ + 1];
      at_ += 2;
      if (at_ < source_.size() && (source_[at_] == '-' || source_[at_] == '+')) ++at_;
      if (kind == '#') {
        comment();
        continue;
      }
      Lexer lexer(source_, at_, line_);
      bool trims = false, keeps = false;
      const std::size_t line = line_;
      std::vector<Token> tokens = lexer.until(kind == '{' ? "}}" : "%}", trims, keeps);
      at_ = lexer.at();
      line_ = lexer.line();
      after_tag(kind, trims, keeps);
      tag_.emplace(std::move(tokens));
      if (kind == '{') {
        Statement print{.kind = StatementKind::kPrint, .line = line};
        print.expr = tag_->tuple();
        tag_->expect_end();
        body.push_back(std::move(print));
        continue;
      }
      end_ = tag_->expect_name();
      if (std::ranges::find(ends, std::string_view(end_)) != ends.end()) return body;
      statement(end_, line, depth, body);
    }
  }

  /// What stands before the next tag.
  void text(Body& body) {
    std::size_t end = at_;
    for (;; ++end) {
      end = source_.find('{', end);
      if (end == std::string_view::npos || end + 1 >= source_.size()) {
        end = source_.size();
        break;
      }
      if (source_[end + 1] == '{' || source_[end + 1] == '%' || source_[end + 1] == '#') break;
    }
    std::string_view data = source_.substr(at_, end - at_);
    line_ += static_cast<std::size_t>(std::ranges::count(data, '\n'));
    const bool was_trimmed = std::exchange(trims_next_, false);
    if (was_trimmed) {
      while (!data.empty() && is_space(data.front())) data.remove_prefix(1);
    }
    if (end < source_.size()) {
      const char sign = end + 2 < source_.size() ? source_[end + 2] : '\0';
      if (sign == '-') {
        while (!data.empty() && is_space(data.back())) data.remove_suffix(1);
      } else if (sign != '+' && source_[end + 1] != '{') {  // lstrip_blocks
        std::size_t last = data.size();
        while (last > 0 && is_space(data[last - 1]) && data[last - 1] != '\n') --last;
        const bool begins_line = last > 0 ? data[last - 1] == '\n' : begins_line_at(at_);
        if (begins_line) data = data.substr(0, last);
      }
    }
    at_ = end;
    if (data.empty()) return;
    Statement statement{.kind = StatementKind::kText, .line = line_};
    statement.text = Text(data);
    body.push_back(std::move(statement));
  }

  /// Whether the text from `at` on begins a line of the source.
  [[nodiscard]] bool begins_line_at(std::size_t at) const { return at == 0 || source_[at - 1] == '\n'; }

  /// trim_blocks, and the signs.
  void after_tag(char kind, bool trims, bool keeps) {
    trims_next_ = trims;
    if (kind == '{' || trims || keeps) return;
    if (at_ < source_.size() && source_[at_] == '\n') {
      ++at_;
      ++line_;
    }
  }

  void comment() {
    const std::size_t end = source_.find("#}", at_);
    if (end == std::string_view::npos) fail_at(line_, "a comment does not end");
    const std::string_view inside = source_.substr(at_, end - at_);
    line_ += static_cast<std::size_t>(std::ranges::count(inside, '\n'));
    at_ = end + 2;
    const char sign = end > 0 ? source_[end - 1] : '\0';
    after_tag('#', sign == '-', sign == '+');
  }

  /// Everything up to {% endraw %}, as it stands.
  void raw(std::size_t line, Body& body) {
    for (std::size_t tag = source_.find("{%", at_); tag != std::string_view::npos; tag = source_.find("{%", tag + 2)) {
      std::size_t name = tag + 2;
      const bool trims_before = name < source_.size() && source_[name] == '-';
      if (name < source_.size() && (source_[name] == '-' || source_[name] == '+')) ++name;
      while (name < source_.size() && is_space(source_[name])) ++name;
      if (!source_.substr(name).starts_with("endraw")) continue;
      std::string_view data = source_.substr(at_, tag - at_);
      line_ += static_cast<std::size_t>(std::ranges::count(data, '\n'));
      if (std::exchange(trims_next_, false)) {
        while (!data.empty() && is_space(data.front())) data.remove_prefix(1);
      }
      if (trims_before) {
        while (!data.empty() && is_space(data.back())) data.remove_suffix(1);
      } else if (source_[tag + 2] != '+') {  // lstrip_blocks
        std::size_t last = data.size();
        while (last > 0 && is_space(data[last - 1]) && data[last - 1] != '\n') --last;
        if (last > 0 ? data[last - 1] == '\n' : begins_line_at(at_)) data = data.substr(0, last);
      }
      Statement statement{.kind = StatementKind::kText, .line = line};
      statement.text = Text(data);
      body.push_back(std::move(statement));
      at_ = name + std::string_view("endraw").size();
      Lexer lexer(source_, at_, line_);
      bool trims = false, keeps = false;
      if (lexer.until("%}", trims, keeps).size() != 1) fail_at(line_, "endraw has arguments");
      at_ = lexer.at();
      line_ = lexer.line();
      after_tag('%', trims, keeps);
      return;
    }
    fail_at(line, "the template ends before \"endraw\"");
  }

  void statement(const std::string& name, std::size_t line, int depth, Body& body) {
    ExprParser& tag = *tag_;
    if (name == "raw") {
      tag.expect_end();
      return raw(line, body);
    }
    Statement made{.kind = StatementKind::kScope, .line = line};
    if (name == "if") {
      made.kind = StatementKind::kIf;
      made.branches.push_back({tag.tuple(), {}});
      tag.expect_end();
      for (;;) {
        made.branches.back().body = block({"elif", "else", "endif"}, depth + 1);
        if (end_ == "endif") break;
        const bool is_else = end_ == "else";
        if (!made.branches.back().condition) fail_at(line_, fmt::format("\"{}\" after \"else\"", end_));
        made.branches.push_back({is_else ? nullptr : tag_->tuple(), {}});
        tag_->expect_end();
      }
    } else if (name == "for") {
      made.kind = StatementKind::kFor;
      ++n_loops_;
      made.targets = tag.names();
      if (!tag.skip_name("in")) fail_at(line, fmt::format("expected \"in\", found {}", tag.found()));
      made.expr = tag.without_condition();
      if (tag.skip_name("if")) made.condition = tag.expression();
      if (tag.skip_name("recursive")) fail_at(line, "recursive loops are not supported");
      tag.expect_end();
      made.body = block({"else", "endfor"}, depth + 1);
      if (end_ == "else") {
        tag_->expect_end();
        made.other = block({"endfor"}, depth + 1);
      }
      --n_loops_;
    } else if (name == "set") {
      made.kind = StatementKind::kSet;
      made.targets = tag.names();
      if (tag.skip_operator(".")) made.attribute = tag.expect_name();
      if (tag.skip_operator("=")) {
        made.expr = tag.tuple();
      } else {
        made.is_block = true;
        ExprPtr inside = tag.make(ExprKind::kBlock);
        made.expr = tag.filters(std::move(inside), false);
        tag.expect_end();
        made.body = block({"endset"}, depth + 1);
      }
    } else if (name == "macro") {
      made.kind = StatementKind::kMacro;
      made.name = tag.expect_name();
      made.parameters = tag.parameters();
      tag.expect_end();
      const int n_loops = std::exchange(n_loops_, 0);
      made.body = block({"endmacro"}, depth + 1);
      n_loops_ = n_loops;
    } else if (name == "call") {
      made.kind = StatementKind::kCallBlock;
      if (tag.is_operator("(")) made.parameters = tag.parameters();
      made.expr = tag.expression();
      if (made.expr->kind != ExprKind::kCall) fail_at(line, "what follows \"call\" is not a call");
      tag.expect_end();
      const int n_loops = std::exchange(n_loops_, 0);
      made.body = block({"endcall"}, depth + 1);
      n_loops_ = n_loops;
    } else if (name == "filter") {
      made.kind = StatementKind::kFilterBlock;
      made.expr = tag.filters(tag.make(ExprKind::kBlock), true);
      tag.expect_end();
      made.body = block({"endfilter"}, depth + 1);
    } else if (name == "with") {
      while (tag.peek().kind != TokenKind::kEnd) {
        if (!made.targets.empty()) tag.expect_operator(",");
        made.targets.push_back(tag.expect_name());
        tag.expect_operator("=");
        made.values.push_back(tag.expression());
      }
      made.body = block({"endwith"}, depth + 1);
    } else if (name == "generation") {
      tag.expect_end();
      made.body = block({"endgeneration"}, depth + 1);
    } else if (name == "break" || name == "continue") {
      if (n_loops_ == 0) fail_at(line, fmt::format("\"{}\" outside of a loop", name));
      made.kind = name == "break" ? StatementKind::kBreak : StatementKind::kContinue;
    } else {
      fail_at(line, fmt::format("unknown tag \"{}\"", name.substr(0, 40)));
    }
    tag_->expect_end();
    body.push_back(std::move(made));
  }

  std::string_view source_;
  std::size_t at_ = 0, line_ = 1;
  bool trims_next_ = false;
  std::optional<ExprParser> tag_;  ///< The tag that was read last, behind its name,
  std::string end_;                ///< and its name.
  int n_loops_ = 0;
};

/// Jinja reads all ends of lines as one byte, and drops the last of the source.
std::string normalized(std::string_view source) {
  std::string text;
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      text += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      text += source[i];
    }
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

}  // namespace

Body parse(std::string_view source) {
  const std::string text = normalized(source);
  return Parser(text).parse();
}

}  // namespace woolly::chat
