#include "text/byte_level.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace woolly::text {
namespace {

constexpr std::int16_t kOutside = -1;

/// Printable Latin-1 stands for itself; the 68 other bytes, in order, for U+0100 onward.
constexpr std::array<std::int16_t, 0x144> make_bytes_of_codes() {
  std::array<std::int16_t, 0x144> bytes{};
  bytes.fill(kOutside);
  std::size_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool is_printable =
        (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
    bytes[is_printable ? static_cast<std::size_t>(byte) : next++] = static_cast<std::int16_t>(byte);
  }
  return bytes;
}

constexpr auto kBytesOfCodes = make_bytes_of_codes();

}  // namespace

bool append_byte_level_decoded(std::string_view text, std::string& out) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::size_t code = static_cast<unsigned char>(text[i]);
    if (code >= 0x80) {  // all of the alphabet beyond ASCII has two bytes: 110xxxxx 10xxxxxx
      if (code < 0xC2 || code > 0xDF || i + 1 == text.size()) return false;
      const std::size_t second = static_cast<unsigned char>(text[++i]);
      if ((second & 0xC0) != 0x80) return false;
      code = (code & 0x1F) << 6 | (second & 0x3F);
    }
    if (code >= kBytesOfCodes.size() || kBytesOfCodes[code] == kOutside) return false;
    out.push_back(static_cast<char>(kBytesOfCodes[code]));
  }
  return true;
}

}  // namespace woolly::text
