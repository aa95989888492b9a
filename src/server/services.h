// What the handlers share.
#pragma once

#include <string>

#include "serve/catalogue.h"
#include "serve/scheduler.h"

namespace woolly::server {

/// Outlives every handler.
struct Services {
  serve::Catalogue& catalogue;
  serve::Scheduler& scheduler;
  std::string version;          ///< Of this program: "0.1.0".
  std::string default_model{};  ///< Of the native routes; empty: none.
};

}  // namespace woolly::server
