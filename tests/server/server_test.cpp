#include "server/server_test.h"

#include <algorithm>
#include <utility>

#include "serve/catalogue.h"
#include "serve/scheduler.h"
#include "server/services.h"
#include "store/store.h"
#include "text/detokenizer.h"
#include "woolly/session.h"

namespace woolly::test {

struct ServerTest::Parts {
  std::unique_ptr<Engine> engine = std::move(Engine::create({.n_threads = 1})).value();
  serve::Catalogue catalogue{{shared("models/stories260K.gguf")}, store::Store({}), 0};
  std::unique_ptr<serve::Scheduler> scheduler = std::move(serve::Scheduler::start(*engine, {})).value();
  server::Services services{catalogue, *scheduler, "0.1.0"};
};

void ServerTest::SetUp() {
  WOOLLY_NEEDS_SHARED("models/stories260K.gguf");
  parts_ = std::make_shared<Parts>();
}

Reply ServerTest::post(HandlerFunction handler, const server::Json& body) {
  const auto exchange = std::make_shared<FakeExchange>(request(body));
  handler(services(), exchange);
  return exchange->wait();
}

Reply ServerTest::get(HandlerFunction handler, const std::string& path) {
  http::Request request;
  request.path = path;
  const auto exchange = std::make_shared<FakeExchange>(std::move(request));
  handler(services(), exchange);
  return exchange->wait();
}

http::Request ServerTest::request(const server::Json& body) {
  http::Request request;
  request.id = "req-1";
  request.body = body.dump();
  return request;
}

const server::Services& ServerTest::services() const { return parts_->services; }

std::string ServerTest::continuation(std::size_t n_tokens) const {
  // An engine of its own, as the scheduler's is its own.
  const auto engine = std::move(Engine::create({.n_threads = 1})).value();
  const auto model = std::move(Model::load(*engine, shared("models/stories260K.gguf"))).value();
  const Tokenizer& tokenizer = *model->tokenizer().value();
  const auto session = std::move(Session::create(model)).value();
  std::vector<TokenId> tokens = tokenizer.encode("Once upon a time", {.add_special = true});
  text::Detokenizer detokenizer(tokenizer, false);
  std::string text;
  for (std::size_t i = 0; i < n_tokens; ++i) {
    const std::span<const float> logits = session->append(tokens).value();
    const auto likeliest = std::ranges::max_element(logits) - logits.begin();
    tokens = {TokenId{static_cast<std::int32_t>(likeliest)}};
    text += detokenizer.push(tokens.front());
  }
  return text;
}

server::Json ServerTest::token_ids(std::string_view text) const {
  const auto card = parts_->catalogue.find(kModel).value();
  server::Json ids = server::Json::array();
  for (const TokenId token : card->tokenizer->encode(text, {.add_special = true})) ids.push_back(token.value);
  return ids;
}

std::size_t ServerTest::n_ctx() const { return parts_->catalogue.find(kModel).value()->context_length; }

}  // namespace woolly::test
