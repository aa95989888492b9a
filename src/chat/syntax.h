// The syntax of templates: Jinja (https://jinja.palletsprojects.com/en/3.1.x/templates/) as transformers sets it up:
// trim_blocks, lstrip_blocks, loop controls, and the tag `generation`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/value.h"

namespace woolly::chat {

enum class ExprKind : std::uint8_t {
  kLiteral,    ///< value
  kName,       ///< name
  kBlock,      ///< The text of the block that is filtered.
  kList,       ///< args
  kTuple,      ///< args
  kDict,       ///< args: key, value, key, value ...
  kAttribute,  ///< args[0].name
  kItem,       ///< args[0][args[1]]
  kSlice,      ///< args[0][args[1]:args[2]:args[3]], each of the last three may be nullptr
  kCall,       ///< args[0](args[1..], named)
  kFilter,     ///< args[0] | name(args[1..], named)
  kTest,       ///< args[0] is name(args[1..])
  kNot,
  kNegative,
  kPositive,
  kAnd,
  kOr,
  kConditional,  ///< args[0] if args[1] else args[2], which may be nullptr
  kBinary,       ///< args[0] name args[1]: + - * / // % ** ~
  kCompare,      ///< args[0] operators[0] args[1] operators[1] args[2] ...
};

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct Expr {
  ExprKind kind;
  std::size_t line = 0;
  Value value{};
  std::string name{};
  std::vector<ExprPtr> args{};
  std::vector<std::pair<std::string, ExprPtr>> named{};
  std::vector<std::string> operators{};
};

enum class StatementKind : std::uint8_t {
  kText,       ///< text
  kPrint,      ///< expr
  kIf,         ///< branches: condition (nullptr for else) and body
  kFor,        ///< targets in expr, filtered by condition; body, other
  kSet,        ///< targets = expr; or of a namespace: targets[0].attribute; or a block: body through `filters`
  kMacro,      ///< name(parameters): body
  kCallBlock,  ///< expr is the call; body with parameters
  kFilterBlock,  ///< expr is the filter, on a literal that stands for the body
  kScope,      ///< body, with targets[i] = values[i] ("with"; none for "generation")
  kBreak,
  kContinue,
};

struct Statement;
using Body = std::vector<Statement>;

struct Parameter {
  std::string name;
  ExprPtr fallback;  ///< nullptr: undefined.
};

struct Branch {
  ExprPtr condition;
  Body body;
};

struct Statement {
  StatementKind kind;
  std::size_t line = 0;
  Text text{};
  std::string name{};
  std::vector<std::string> targets{};
  std::string attribute{};
  ExprPtr expr{}, condition{};
  std::vector<ExprPtr> values{};
  std::vector<Branch> branches{};
  std::vector<Parameter> parameters{};
  Body body{}, other{};
  bool is_block = false;  ///< kSet with a body
};

/// Throws TemplateError, with the line, for what is no template.
Body parse(std::string_view source);

}  // namespace woolly::chat
