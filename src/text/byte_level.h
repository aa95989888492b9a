// The alphabet of byte-level BPE: each byte is written as one printable character, so that token texts are valid UTF-8
// without spaces. Source of the mapping: GPT-2, src/encoder.py, bytes_to_unicode().
#pragma once

#include <string>
#include <string_view>

namespace woolly::text {

/// Appends the bytes that `text` stands for; returns false where a character is outside the alphabet (`out` then has
/// the bytes before it).
bool append_byte_level_decoded(std::string_view text, std::string& out);

}  // namespace woolly::text
