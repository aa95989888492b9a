#include "gguf/load.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "os/tensor_source.h"
#include "support/gguf_builder.h"
#include "support/shared.h"
#include "support/temp_dir.h"

namespace woolly::gguf {
namespace {

using test::GgufBuilder;
using test::TempDir;

Result<File> load_path(const std::filesystem::path& path, os::Access access = os::Access::kRead) {
  WOOLLY_TRY(const os::TensorSource source, os::TensorSource::open(path, access));
  return load(source);
}

/// A part with one tensor, named "part<no>" where no other name is given.
std::vector<std::byte> part(std::uint32_t no, std::uint32_t count, std::uint32_t n_tensors, std::string name = "") {
  if (name.empty()) name = "part" + std::to_string(no);
  GgufBuilder builder;
  builder.add_scalar("split.no", static_cast<std::uint16_t>(no));
  builder.add_scalar("split.count", static_cast<std::uint16_t>(count));
  builder.add_i32("split.tensors.count", static_cast<std::int32_t>(n_tensors)).add_u32("only." + name, no);
  return builder.add_tensor(name, {1}, {static_cast<float>(no)}).build();
}

Result<File> merge(const std::vector<std::vector<std::byte>>& files) {
  std::vector<File> parts;
  for (const auto& bytes : files) {
    WOOLLY_TRY(File file, test::parse_bytes(bytes));
    parts.push_back(std::move(file));
  }
  return merge_parts(std::move(parts));
}

TEST(Load, Load_ReadsOnUntilTheHeaderIsComplete) {
  // 300,000 tokens: a header of more than 4 MB, so beyond the first reads.
  std::vector<std::string> tokens;
  for (int i = 0; i < 300000; ++i) tokens.push_back("token" + std::to_string(i));
  const TempDir dir;
  GgufBuilder builder;
  builder.add_strings("tokenizer.ggml.tokens", tokens).add_tensor("t", {2}, {1.0f, 2.0f});
  const auto path = dir.write("large.gguf", builder.build());
  for (const os::Access access : {os::Access::kRead, os::Access::kMap}) {
    const auto file = load_path(path, access);
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ(file->metadata.strings("tokenizer.ggml.tokens")->back(), "token299999");
    EXPECT_EQ(file->tensors().size(), 1u);
  }
}

TEST(Load, Load_RefusesAHeaderWithoutEnd) {
  // A sparse file of 16 GiB whose first value says that it fills it.
  const TempDir dir;
  constexpr std::uint64_t kSize = std::uint64_t{16} << 30;
  const test::ByteWriter text = test::ByteWriter().number(kSize / 2);
  const auto path = dir.write("sparse.gguf", GgufBuilder().add_value("k", ValueType::kString, text.bytes()).build());
  std::filesystem::resize_file(path, kSize);
  const auto file = load_path(path);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::kLimitExceeded) << file.error().message;
  EXPECT_NE(file.error().message.find("sparse.gguf"), std::string::npos);
}

TEST(Load, Load_NamesTheFileInErrors) {
  const TempDir dir;
  const auto file = load_path(dir.write("text.gguf", "this is no model"));
  ASSERT_FALSE(file);
  EXPECT_NE(file.error().message.find("text.gguf: begins with 'this'"), std::string::npos) << file.error().message;
  EXPECT_FALSE(load_path(dir.write("empty.gguf", "")));
}

TEST(Load, Load_MergesTheFilesOfASplitModel) {
  const TempDir dir;
  for (std::uint32_t i = 0; i < 3; ++i) {
    dir.write("m-0000" + std::to_string(i + 1) + "-of-00003.gguf", part(i, 3, 3));
  }
  const auto source = os::TensorSource::open(dir.path() / "m-00002-of-00003.gguf");
  ASSERT_TRUE(source) << source.error().message;
  const auto file = load(*source);
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_EQ(file->tensors().size(), 3u);
  EXPECT_TRUE(file->metadata.has("only.part0"));
  EXPECT_FALSE(file->metadata.has("only.part1")) << "the metadata of the first part counts";
  for (std::uint32_t i = 0; i < 3; ++i) {
    const TensorView* tensor = file->find_tensor("part" + std::to_string(i));
    ASSERT_NE(tensor, nullptr);
    EXPECT_EQ(tensor->file, i);
    float value = -1;
    ASSERT_TRUE(source->read(tensor->file, tensor->offset, std::as_writable_bytes(std::span(&value, 1))));
    EXPECT_EQ(value, static_cast<float>(i));
  }
}

TEST(Load, Load_RefusesOnePartOfASplitModelUnderAnotherName) {
  const TempDir dir;
  const auto file = load_path(dir.write("renamed.gguf", part(0, 3, 3)));
  ASSERT_FALSE(file);
  EXPECT_NE(file.error().message.find("renamed.gguf: split.count: 3 in part 1, expected 1"), std::string::npos)
      << file.error().message;
}

TEST(Load, MergeParts_GivesASinglePartBack) {
  const auto file = merge({GgufBuilder().add_u32("n", 1).add_tensor("t", {1}, {1.0f}).build()});
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->tensors().size(), 1u);
  EXPECT_EQ(*file->metadata.get_uint("n"), 1u);
  EXPECT_EQ(file->version(), 3u);
}

TEST(Load, MergeParts_TakesPartsWithoutSplitKeys) {
  GgufBuilder first, second;
  first.add_tensor("a", {1}, {1.0f});
  second.add_tensor("b", {1}, {1.0f});
  const auto file = merge({first.build(), second.build()});
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->find_tensor("b")->file, 1u);
}

TEST(Load, MergeParts_RejectsPartsThatDoNotBelongTogether) {
  const auto message = [](const std::vector<std::vector<std::byte>>& files) {
    const auto merged = merge(files);
    EXPECT_FALSE(merged);
    return merged ? std::string() : merged.error().message;
  };
  EXPECT_EQ(message({part(0, 2, 2), part(0, 2, 2, "x")}), "split.no: 0 in part 2, expected 1");
  EXPECT_EQ(message({part(1, 2, 2), part(0, 2, 2)}), "split.no: 1 in part 1, expected 0");
  EXPECT_EQ(message({part(0, 2, 2), part(1, 3, 2)}), "split.count: 3 in part 2, expected 2");
  EXPECT_EQ(message({part(0, 2, 5), part(1, 2, 5)}), "split.tensors.count: 5 in part 1, expected 2");
  EXPECT_EQ(message({part(0, 2, 2, "t"), part(1, 2, 2, "t")}), "tensor t appears twice, in parts 1 and 2");
  EXPECT_EQ(message({GgufBuilder().add_string("split.no", "0").build()}),
            "split.no: a value of type string, expected an unsigned integer");
}

TEST(Load, Load_ReadsEveryReferenceFile) {
  WOOLLY_NEEDS_SHARED("models/syn-llama-F32.gguf");
  std::size_t n_files = 0;
  for (const char* folder : {"models", "golden", "tokenizers"}) {
    for (const auto& entry : std::filesystem::directory_iterator(test::shared(folder))) {
      if (entry.path().extension() != ".gguf") continue;
      const auto file = load_path(entry.path());
      ASSERT_TRUE(file) << file.error().message;
      EXPECT_TRUE(file->metadata.get_string("general.architecture")) << entry.path();
      EXPECT_EQ(file->tensors().empty(), std::string_view(folder) == "tokenizers") << entry.path();
      ++n_files;
    }
  }
  EXPECT_GE(n_files, 40u);
}

TEST(Load, Parse_RejectsARealFileCutAtAnyLength) {
  WOOLLY_NEEDS_SHARED("models/stories260K.gguf");
  std::ifstream stream(test::shared("models/stories260K.gguf"), std::ios::binary);
  const std::vector<char> chars((std::istreambuf_iterator<char>(stream)), {});
  const auto bytes = std::make_shared<std::vector<std::byte>>(chars.size());
  std::memcpy(bytes->data(), chars.data(), chars.size());
  const auto whole = parse(bytes, bytes->size(), "whole");
  ASSERT_TRUE(whole) << whole.error().message;
  std::size_t end = 0;
  for (const TensorView& tensor : whole->tensors()) end = std::max(end, tensor.offset + tensor.size);

  // Every length of the first 4 KB, then steps that no structure of the file divides, then every length near the end.
  std::vector<std::size_t> lengths;
  for (std::size_t n = 0; n < 4096; ++n) lengths.push_back(n);
  for (std::size_t n = 4096; n + 100 < end; n += 509) lengths.push_back(n);
  for (std::size_t n = end - 100; n < end; ++n) lengths.push_back(n);
  for (const std::size_t n : lengths) {
    // A copy of that length, so that the sanitizer sees a read past it.
    const auto cut =
        std::make_shared<const std::vector<std::byte>>(bytes->begin(), bytes->begin() + static_cast<int>(n));
    bool needs_more = true;
    ASSERT_FALSE(parse(cut, n, "cut", &needs_more)) << n;
    ASSERT_FALSE(needs_more) << n;
  }
}

}  // namespace
}  // namespace woolly::gguf
