// Text from a file, made fit for a one-line message.
#pragma once

#include <string>
#include <string_view>

namespace woolly::gguf {

/// `text` with everything but printable ASCII as \xNN, cut with "..." after 96 bytes: names in a hostile file are long
/// or carry line feeds and terminal escapes.
std::string printable(std::string_view text);

}  // namespace woolly::gguf
