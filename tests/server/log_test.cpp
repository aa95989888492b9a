#include "server/log.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "server/json.h"

namespace woolly::server {
namespace {

constexpr std::int64_t kTime = 1'764'066'030'000'000'000;  // 2025-11-25T10:20:30Z

http::Request request_to(std::string path, std::string route) {
  http::Request request;
  request.method = "POST";
  request.path = std::move(path);
  request.route = std::move(route);
  request.id = "req-1";
  request.key = "key-2";
  request.headers = {{"authorization", "Bearer secret"}};
  request.body = R"({"prompt":"private"})";
  return request;
}

using FilePointer = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

std::string text_of(std::FILE* file) {
  std::rewind(file);
  std::string text;
  for (int c = std::fgetc(file); c != EOF; c = std::fgetc(file)) text += static_cast<char>(c);
  return text;
}

TEST(LogLine, TellsWhatHappenedAndNeitherTextsNorKeys) {
  const http::Request request = request_to("/v1/completions", "/v1/completions");
  const std::vector<http::Note> notes = {{"model", std::string("stories260K")}, {"n_prompt", std::int64_t{12}}};
  const http::Completed completed{request, 200, true, 34, 1.2345, notes};
  const std::string human = log_line(LogForm::kHuman, kTime, completed);
  EXPECT_TRUE(human.ends_with(" POST /v1/completions 200 1.234 s, the client left, key-2, model stories260K, n_prompt 12 "
                              "[req-1]") ||
              human.find(" 200 1.235 s") != std::string::npos)
      << human;
  const std::string line = log_line(LogForm::kJson, kTime, completed);
  const Json json = Json::parse(line);
  EXPECT_EQ(json["time"], "2025-11-25T10:20:30.000000000Z");
  EXPECT_EQ(json["request"], "req-1");
  EXPECT_EQ(json["path"], "/v1/completions");
  EXPECT_EQ(json["status"], 200);
  EXPECT_EQ(json["bytes"], 34);
  EXPECT_EQ(json["is_gone"], true);
  EXPECT_EQ(json["key"], "key-2");
  EXPECT_EQ(json["model"], "stories260K");
  EXPECT_EQ(json["n_prompt"], 12);
  for (const std::string& text : {human, line}) {
    EXPECT_EQ(text.find("secret"), std::string::npos) << text;
    EXPECT_EQ(text.find("private"), std::string::npos) << text;
    EXPECT_EQ(text.find('\n'), std::string::npos) << text;
  }
}

TEST(LogLine, HoldsWhatAClientSentInItsPlace) {
  const std::vector<http::Note> notes = {{"model", std::string("a\x1B[2J\nb")}};
  const http::Request request = request_to("/\x1B[2J\n" + std::string(10'000, 'x'), "");
  const http::Completed completed{request, 0, true, 0, 0, notes};
  const std::string human = log_line(LogForm::kHuman, kTime, completed);
  EXPECT_EQ(human.find('\x1B'), std::string::npos) << human;
  EXPECT_EQ(human.find('\n'), std::string::npos) << human;
  EXPECT_NE(human.find("no answer"), std::string::npos) << human;
  EXPECT_LT(human.size(), kMaxLoggedPath + 200);
  const std::string line = log_line(LogForm::kJson, kTime, completed);
  EXPECT_EQ(line.find('\n'), std::string::npos) << line;
  EXPECT_EQ(Json::parse(line)["path"].get<std::string>().size(), kMaxLoggedPath);
}

TEST(LogLine, IsUtf8WhateverThePath) {
  const http::Request request = request_to(std::string(kMaxLoggedPath - 1, 'x') + "\xE2\x98\x83\xFF", "");
  const Json json = Json::parse(log_line(LogForm::kJson, kTime, {request, 404, false, 0, 0, {}}));
  EXPECT_TRUE(json["path"].get<std::string>().starts_with("xxx"));
}

TEST(Log, WritesLinesInOrderBeforeItEnds) {
  const FilePointer file(std::tmpfile(), std::fclose);
  {
    Log log(LogForm::kJson, file.get());
    for (int i = 0; i < 100; ++i) log.event("event " + std::to_string(i));
  }
  const std::string text = text_of(file.get());
  std::size_t at = 0;
  for (int i = 0; i < 100; ++i) {
    const std::size_t end = text.find('\n', at);
    ASSERT_NE(end, std::string::npos) << i;
    EXPECT_EQ(Json::parse(text.substr(at, end - at))["message"], "event " + std::to_string(i));
    at = end + 1;
  }
  EXPECT_EQ(at, text.size());
}

}  // namespace
}  // namespace woolly::server
