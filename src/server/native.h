// Routes of Woolly's own, and those that servers have whatever their interface.
#pragma once

#include <memory>
#include <string>

#include "http/exchange.h"
#include "serve/metrics.h"
#include "server/services.h"

namespace woolly::server::native {

/// GET /: "Ollama is running", by which Ollama's clients know it.
void root(const Services& services, std::shared_ptr<http::Exchange> exchange);
/// GET /health: 200 as long as the process lives.
void health(const Services& services, std::shared_ptr<http::Exchange> exchange);
/// GET /ready: 200, or 503 while a model that was named at the start loads, and when work waits and no step ends.
void ready(const Services& services, std::shared_ptr<http::Exchange> exchange);
/// GET /metrics, in the text format of Prometheus (version 0.0.4).
void metrics(const Services& services, std::shared_ptr<http::Exchange> exchange);

// Of the following, `model` may be left out where one was named at the start: it is that.

/// POST /tokenize: {content, add_special: false, parse_special: true, with_pieces: false} to {tokens}: ids, or objects
/// of id and piece; a piece that is no UTF-8 is an array of bytes.
void tokenize(const Services& services, std::shared_ptr<http::Exchange> exchange);
/// POST /detokenize: {tokens} to {content}.
void detokenize(const Services& services, std::shared_ptr<http::Exchange> exchange);
/// POST /apply-template: {messages, chat_template_kwargs} to {prompt}, with the beginning of an answer at its end.
void apply_template(const Services& services, std::shared_ptr<http::Exchange> exchange);

/// The text of /metrics.
std::string metrics_text(const serve::Snapshot& snapshot);

}  // namespace woolly::server::native
