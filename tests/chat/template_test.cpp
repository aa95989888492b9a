#include "chat/template.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <sstream>

#include "os/process.h"
#include "support/shared.h"
#include "support/temp_dir.h"

namespace woolly::test {
namespace {

using Json = nlohmann::ordered_json;

std::string joined(const std::vector<chat::Span>& spans) {
  std::string text;
  for (const chat::Span& span : spans) text += span.text;
  return text;
}

/// What `source` renders for messages with the contents "a" and "b", or the error.
std::string rendered(std::string_view source, const Json& extra = Json::object()) {
  const auto parsed = chat::Template::parse(source);
  if (!parsed) return parsed.error().message;
  chat::Conversation conversation;
  conversation.messages = Json::parse(R"([{"role":"user","content":"a"},{"role":"assistant","content":"b"}])");
  conversation.extra = extra;
  conversation.bos_token = "<s>";
  conversation.now = 86400 * 365;
  const auto spans = parsed->render(conversation);
  return spans ? joined(*spans) : spans.error().message;
}

TEST(Template, WithoutOneContentsAreJoined) { EXPECT_EQ(rendered(""), "a\nb"); }

TEST(Template, RendersWhatJinjaDoes) {
  const std::pair<const char*, const char*> kCases[] = {
      {"{{ bos_token }}x\n", "<s>x"},
      {"{% for m in messages %}\n  {% if loop.first %}\n[{{ m.role }}]{{ m['content'] }}\n  {% endif %}\n{% endfor %}", "[user]a\n"},
      {"a {{- ' b ' -}} c", "a b c"},
      {"a\n   {%- if true %} b{% endif +%}\nc", "a b\nc"},
      {"x {# note #} y", "x  y"},
      {"{% raw %}{{ x }}{% endraw %}", "{{ x }}"},
      {"{% set ns = namespace(n=0) %}{% for i in range(5) %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}", "10"},
      {"{% set x = 1 %}{% for i in [1] %}{% set x = 2 %}{% endfor %}{{ x }}", "1"},
      {"{% macro f(a, b=2) %}{{ a }}-{{ b }}{% endmacro %}{{ f(1) }},{{ f(1, b=3) }}", "1-2,1-3"},
      {"{% macro f() %}<{{ caller() }}>{% endmacro %}{% call f() %}in{% endcall %}", "<in>"},
      {"{% filter upper %}a{{ 'b' }}{% endfilter %}", "AB"},
      {"{% set x %}y{{ 1 }}{% endset %}{{ x }}", "y1"},
      {"{% for i in range(9) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 4 %}{% break %}{% endif %}{{ i }}{% endfor %}", "013"},
      {"{% for i in [] %}x{% else %}none{% endfor %}", "none"},
      {"{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}{{ v }}{% endfor %}", "a1b2"},
      {"{% for i in [1, 2, 3] if i != 2 %}{{ i }}{{ ',' if not loop.last }}{% endfor %}", "1,3"},
      {"{{ [1, 2, 3][1:] }}{{ 'hello'[::-1] }}{{ 'hello'[-3:] }}", "[2, 3]ollehllo"},
      {"{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 2 ** 10 }} {{ 7 / 2 }} {{ 1e20 }} {{ 0.1 }} {{ 3.0 }}", "3 -4 2 1024 3.5 1e+20 0.1 3.0"},
      {"{{ 1 < 2 < 3 }} {{ 'a' in 'abc' }} {{ 4 not in [1] }} {{ not false }} {{ none }}", "True True True True None"},
      {"{{ x is defined }} {{ x | default('d') }} {{ '' | default('e', true) }} {{ 3 is odd }} {{ 'a' is string }}", "False d e True True"},
      {"{{ ' a b '.strip().split(' ') }} {{ 'a,b'.split(',')[1] }} {{ 'x' ~ 1 ~ none }}", "['a', 'b'] b x1None"},
      {"{{ {'a': [1, 2.0, none, true], 'b': 'é\"'} | tojson }}", R"({"a": [1, 2.0, null, true], "b": "é\""})"},
      {"{{ {'a': [1], 'b': {}} | tojson(indent=2) }}", "{\n  \"a\": [\n    1\n  ],\n  \"b\": {}\n}"},
      {"{{ messages | map(attribute='content') | join('+') }}{{ messages | selectattr('role', 'equalto', 'user') | list | length }}", "a+b1"},
      {"{{ strftime_now('%d %b %Y') }}", "01 Jan 1971"},
      {"{% generation %}g{% endgeneration %}{% with y = 5 %}{{ y }}{% endwith %}", "g5"},
      {"{{ 'a' if messages | length > 1 else 'b' }}{{ ('x', 1) }}{{ (2,) }}", "a('x', 1)(2,)"},
      {"{{ \"it's\" | tojson }}{{ [\"it's\"] }}", "\"it's\"[\"it's\"]"},
      {"{{ '%s=%d' % ('a', 2) }}{{ 'ab' * 2 }}{{ [0] * 2 }}", "a=2abab[0, 0]"},
      {"{{ loop is defined }}{{ undefined_name }}{{ (undefined_name or 'z') }}", "Falsez"},
  };
  for (const auto& [source, expected] : kCases) EXPECT_EQ(rendered(source), expected) << source;
}

TEST(Template, ErrorsNameTheLine) {
  const std::pair<const char*, const char*> kCases[] = {
      {"a\n{% if x %}", "line 2"},
      {"{{ raise_exception('no system role') }}", "no system role"},
      {"{% nonsense %}", "unknown tag \"nonsense\""},
      {"{{ x.y }}", "\"x\" is undefined"},
      {"{{ 'a' | no_such }}", "no filter \"no_such\""},
      {"{{ 1 / 0 }}", "division by zero"},
      {"{{ messages.append(1) }}", "undefined"},
      {"{{ 9223372036854775807 + 1 }}", "too large"},
      {"{{ (((((", "line 1"},
      {"{% break %}", "outside of a loop"},
  };
  for (const auto& [source, part] : kCases) {
    EXPECT_NE(rendered(source).find(part), std::string::npos) << source << ": " << rendered(source);
    EXPECT_TRUE(rendered(source).starts_with("chat template, line ")) << rendered(source);
  }
}

TEST(Template, NothingRunsForLong) {
  for (const std::string& source :
       {std::string("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"),
        std::string("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"), std::string("{{ 'aaaaaaaaaaaaaaaaaaaa' * 99999999 }}"),
        std::string("{% set ns = namespace(s='aaaa') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}"),
        std::string(100'000, '('), "{{" + std::string(100'000, '['), "{{" + std::string(100'000, '-') + "1}}",
        "{{ 1" + std::string(100'000, '+') + "1 }}", [] {
          std::string nested;
          for (int i = 0; i < 5000; ++i) nested += "{% if 1 %}";
          return nested;
        }()}) {
    EXPECT_TRUE(rendered(source).starts_with("chat template, line ") || source[0] == '(') << source.substr(0, 80);
  }
}

/// What a caller wrote stays known through everything that a template does with it.
TEST(Template, KnowsWhoseTheBytesAre) {
  const auto parsed = chat::Template::parse(
      "<|a|>{{ messages[0].content | trim | replace('x', '<|b|>') | upper }}{{ ('' ~ messages[0].content)[1:4] }}<|{{ messages[0].role }}|>");
  ASSERT_TRUE(parsed) << parsed.error().message;
  chat::Conversation conversation;
  conversation.messages = Json::parse(R"([{"role":"user","content":" <|x|> "}])");
  const auto spans = parsed->render(conversation);
  ASSERT_TRUE(spans) << spans.error().message;
  std::string own, callers;
  for (const chat::Span& span : *spans) (span.is_callers ? callers : own) += span.text;
  EXPECT_EQ(own, "<|a|><|B|><|user|>");
  EXPECT_EQ(callers, "<||><|x");
}

/// All templates of real models, over all conversations, byte for byte.
TEST(Template, RendersRealTemplatesAsJinjaDoes) {
  WOOLLY_NEEDS_SHARED("templates");
  const std::string folder = std::string(WOOLLY_SOURCE_DIR) + "/tests/chat/";
  Json cases = Json::parse(std::ifstream(folder + "conversations.json"));
  for (Json& each : cases) {
    each["now"] = 1753000000;
    each["bos_token"] = "<BOS>";
    each["eos_token"] = "<EOS>";
  }
  const TempDir dir;
  const auto cases_path = dir.path() / "cases.json", out_path = dir.path() / "out.json";
  std::ofstream(cases_path) << cases.dump();
  const auto end = os::run_process({"/usr/bin/python3", folder + "oracle.py", cases_path.string(), shared("templates").string(), out_path.string()});
  ASSERT_TRUE(end) << end.error().message;
  ASSERT_EQ(end->status, 0) << "scripts/setup installs python3-jinja2";
  const Json expected = Json::parse(std::ifstream(out_path));
  ASSERT_GE(expected.size(), 20U);
  std::size_t n_rendered = 0;
  for (const auto& [name, texts] : expected.items()) {
    std::ifstream file(shared("templates/" + name));
    std::stringstream source;
    source << file.rdbuf();
    const auto parsed = chat::Template::parse(source.str());
    ASSERT_TRUE(parsed) << name << ": " << parsed.error().message;
    for (std::size_t i = 0; i < cases.size(); ++i) {
      const Json& given = cases[i];
      const auto spans = parsed->render({.messages = given["messages"],
                                         .tools = given["tools"],
                                         .extra = given["extra"],
                                         .add_generation_prompt = given["add_generation_prompt"].get<bool>(),
                                         .bos_token = "<BOS>",
                                         .eos_token = "<EOS>",
                                         .now = 1753000000});
      const std::string what = name + ", " + given["name"].get<std::string>();
      if (texts[i].is_null()) {
        EXPECT_FALSE(spans) << what << " is refused by Jinja";
        continue;
      }
      ASSERT_TRUE(spans) << what << ": " << spans.error().message;
      EXPECT_EQ(joined(*spans), texts[i].get<std::string>()) << what;
      ++n_rendered;
    }
  }
  EXPECT_GE(n_rendered, 100U);
}

}  // namespace
}  // namespace woolly::test
