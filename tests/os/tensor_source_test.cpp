#include "os/tensor_source.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "support/temp_dir.h"

namespace woolly::os {
namespace {

using test::TempDir;

std::string read_text(const TensorSource& source, std::size_t file, std::uint64_t offset, std::size_t n) {
  std::string text(n, '?');
  const Status status = source.read(file, offset, std::as_writable_bytes(std::span(text)));
  EXPECT_TRUE(status) << status.error().message;
  return text;
}

/// The error of opening `path`, which must name it in one line.
Error open_error(const std::filesystem::path& path) {
  const auto source = TensorSource::open(path);
  EXPECT_FALSE(source) << path;
  if (source) return {};
  EXPECT_NE(source.error().message.find(path.string()), std::string::npos) << source.error().message;
  EXPECT_EQ(source.error().message.find('\n'), std::string::npos) << source.error().message;
  return source.error();
}

TEST(TensorSource, Open_GivesSizeAndBytesOfAFile) {
  const TempDir dir;
  const auto path = dir.write("model.gguf", "0123456789");
  const auto source = TensorSource::open(path);
  ASSERT_TRUE(source) << source.error().message;
  EXPECT_EQ(source->n_files(), 1u);
  EXPECT_EQ(source->path(0), path);
  EXPECT_EQ(source->size(0), 10u);
  EXPECT_EQ(read_text(*source, 0, 0, 10), "0123456789");
  EXPECT_EQ(read_text(*source, 0, 3, 4), "3456");
  EXPECT_EQ(read_text(*source, 0, 10, 0), "");
  EXPECT_TRUE(source->mapped(0).empty());
}

TEST(TensorSource, Open_MapsTheWholeFileWhenAsked) {
  const TempDir dir;
  const auto source = TensorSource::open(dir.write("model.gguf", "0123456789"), Access::kMap);
  ASSERT_TRUE(source) << source.error().message;
  const auto mapped = source->mapped(0);
  EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(mapped.data()), mapped.size()), "0123456789");
  EXPECT_EQ(read_text(*source, 0, 8, 2), "89");
}

TEST(TensorSource, Open_TakesAnEmptyFile) {
  const TempDir dir;
  const auto path = dir.write("empty.gguf", "");
  for (const Access access : {Access::kRead, Access::kMap}) {
    const auto source = TensorSource::open(path, access);
    ASSERT_TRUE(source) << source.error().message;
    EXPECT_EQ(source->size(0), 0u);
    EXPECT_TRUE(source->mapped(0).empty());
  }
}

TEST(TensorSource, Move_KeepsFileAndMappingOpen) {
  const TempDir dir;
  auto opened = TensorSource::open(dir.write("model.gguf", "0123456789"), Access::kMap);
  ASSERT_TRUE(opened);
  TensorSource source = std::move(opened).value();
  auto other = TensorSource::open(dir.write("other.gguf", "abc"), Access::kMap);
  ASSERT_TRUE(other);
  source = std::move(other).value();
  EXPECT_EQ(read_text(source, 0, 0, 3), "abc");
  EXPECT_EQ(source.mapped(0).size(), 3u);
}

TEST(TensorSource, Read_RefusesBytesBeyondTheEnd) {
  const TempDir dir;
  const auto source = TensorSource::open(dir.write("model.gguf", "0123456789"));
  ASSERT_TRUE(source);
  std::vector<std::byte> out(4);
  for (const std::uint64_t offset : {std::uint64_t{7}, std::uint64_t{11}, ~std::uint64_t{0}}) {
    const Status status = source->read(0, offset, out);
    ASSERT_FALSE(status) << offset;
    EXPECT_EQ(status.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(status.error().message.find("the file ends at 10"), std::string::npos) << status.error().message;
  }
}

TEST(TensorSource, Read_ReportsAFileCutAfterItWasOpened) {
  const TempDir dir;
  const auto path = dir.write("model.gguf", "0123456789");
  const auto source = TensorSource::open(path);
  ASSERT_TRUE(source);
  std::filesystem::resize_file(path, 4);
  std::vector<std::byte> out(10);
  const Status status = source->read(0, 0, out);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kIo);
  EXPECT_NE(status.error().message.find("ends at 4, it had 10 bytes"), std::string::npos) << status.error().message;
}

TEST(TensorSource, Read_TakesMoreThanOneCallCanTransfer) {
  // A sparse file with marks at both ends; the middle is a hole and costs no disk.
  const TempDir dir;
  constexpr std::size_t kSize = (std::size_t{2} << 30) + 4096;
  const auto path = dir.write("sparse.gguf", "begin");
  std::filesystem::resize_file(path, kSize - 3);
  {
    std::ofstream file(path, std::ios::binary | std::ios::app);
    file << "end";
  }
  const auto source = TensorSource::open(path);
  ASSERT_TRUE(source);
  ASSERT_EQ(source->size(0), kSize);
  const auto out = std::make_unique_for_overwrite<std::byte[]>(kSize);
  ASSERT_TRUE(source->read(0, 0, {out.get(), kSize}));
  EXPECT_EQ(out[0], std::byte{'b'});
  EXPECT_EQ(out[kSize - 1], std::byte{'d'});
}

TEST(TensorSource, Read_MayComeFromSeveralThreads) {
  const TempDir dir;
  std::string text(1 << 16, ' ');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i % 26);
  const auto source = TensorSource::open(dir.write("model.gguf", text));
  ASSERT_TRUE(source);
  std::vector<std::thread> threads;
  std::vector<int> n_right(4);
  for (std::size_t t = 0; t < n_right.size(); ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t at = t; at + 64 <= text.size(); at += 1000) {
        if (read_text(*source, 0, at, 64) == text.substr(at, 64)) ++n_right[t];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(std::ranges::count_if(n_right, [](int n) { return n >= 65; }), 4);
}

TEST(TensorSource, Open_NamesAMissingFile) {
  const TempDir dir;
  EXPECT_EQ(open_error(dir.path() / "absent.gguf").code, ErrorCode::kNotFound);
  EXPECT_EQ(open_error(dir.write("file", "x") / "below.gguf").code, ErrorCode::kNotFound);
}

TEST(TensorSource, Open_RefusesWhatIsNoRegularFile) {
  const TempDir dir;
  const Error directory = open_error(dir.path());
  EXPECT_EQ(directory.code, ErrorCode::kInvalidArgument);
  EXPECT_NE(directory.message.find("a directory, expected a regular file"), std::string::npos) << directory.message;
  EXPECT_NE(open_error("/dev/null").message.find("a device"), std::string::npos);
  const auto pipe = dir.path() / "pipe.gguf";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_NE(open_error(pipe).message.find("a pipe"), std::string::npos) << "and it does not wait for a writer";
}

TEST(TensorSource, Open_NamesAFileThatMayNotBeRead) {
  const TempDir dir;
  const auto path = dir.write("secret.gguf", "x");
  ASSERT_EQ(::chmod(path.c_str(), 0), 0);
  ASSERT_EQ(::chmod(dir.path().c_str(), 0755), 0);
  constexpr uid_t kNobody = 65534;  // root may read everything, so root becomes somebody else for a moment
  const bool is_root = ::geteuid() == 0;
  if (is_root) { ASSERT_EQ(::seteuid(kNobody), 0); }
  const Error error = open_error(path);
  if (is_root) { ASSERT_EQ(::seteuid(0), 0); }
  EXPECT_EQ(error.code, ErrorCode::kIo);
  EXPECT_NE(error.message.find("secret.gguf"), std::string::npos) << error.message;
}

TEST(TensorSource, Open_FindsAllPartsFromAnyOfThem) {
  const TempDir dir;
  std::vector<std::filesystem::path> paths;
  for (int part = 1; part <= 3; ++part) {
    paths.push_back(dir.write("m-0000" + std::to_string(part) + "-of-00003.gguf",
                              std::string(static_cast<std::size_t>(part), 'x')));
  }
  for (const auto& path : paths) {
    const auto source = TensorSource::open(path);
    ASSERT_TRUE(source) << source.error().message;
    ASSERT_EQ(source->n_files(), 3u);
    for (std::size_t part = 0; part < 3; ++part) {
      EXPECT_EQ(source->path(part), paths[part]);
      EXPECT_EQ(source->size(part), part + 1);
    }
  }
}

TEST(TensorSource, Open_NamesTheMissingPart) {
  const TempDir dir;
  const auto first = dir.write("m-00001-of-00003.gguf", "x");
  dir.write("m-00003-of-00003.gguf", "x");
  const auto source = TensorSource::open(first);
  ASSERT_FALSE(source);
  EXPECT_EQ(source.error().code, ErrorCode::kNotFound);
  EXPECT_NE(source.error().message.find("m-00002-of-00003.gguf"), std::string::npos) << source.error().message;
}

TEST(TensorSource, Open_RefusesAPartNumberOutsideOfItsCount) {
  const TempDir dir;
  for (const char* name : {"m-00004-of-00003.gguf", "m-00000-of-00003.gguf", "m-00000-of-00000.gguf"}) {
    EXPECT_EQ(open_error(dir.write(name, "x")).code, ErrorCode::kInvalidArgument) << name;
  }
}

TEST(TensorSource, Open_TakesNamesThatAreAlmostOfAPartAsTheyAre) {
  const TempDir dir;
  for (const char* name : {"m-0001-of-00003.gguf", "m-00001-of-00003.bin", "m-00001-of-0000a.gguf",
                           "m-0-001-of-00003.gguf", "m_00001-of-00003.gguf", "-of-.gguf"}) {
    const auto source = TensorSource::open(dir.write(name, "x"));
    ASSERT_TRUE(source) << source.error().message;
    EXPECT_EQ(source->n_files(), 1u) << name;
  }
  const auto only = TensorSource::open(dir.write("m-00001-of-00001.gguf", "x"));
  ASSERT_TRUE(only);
  EXPECT_EQ(only->n_files(), 1u);
}

TEST(TensorSource, Mapped_IsZerosWhereTheFileWasCut) {
  const TempDir dir;
  const std::string page(65536, 'x');  // of every system's size, or several
  const auto path = dir.write("m.gguf", page + page + page);
  const auto source = TensorSource::open(path, Access::kMap);
  const auto other = TensorSource::open(dir.write("other.gguf", page), Access::kMap);
  ASSERT_TRUE(source);
  const auto bytes = source->mapped(0);
  EXPECT_EQ(bytes[0], std::byte{'x'});
  EXPECT_TRUE(source->check_mapped());
  std::filesystem::resize_file(path, page.size());
  EXPECT_EQ(bytes[2 * page.size() + 5], std::byte{0});
  const Status status = source->check_mapped();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kIo);
  EXPECT_NE(status.error().message.find("m.gguf"), std::string::npos) << status.error().message;
  EXPECT_EQ(bytes[page.size() + 5], std::byte{0});  // before the first one that was found
  EXPECT_EQ(bytes[0], std::byte{'x'});
  EXPECT_TRUE(other->check_mapped());
}

TEST(TensorSource, Mapped_OfNobodyStillEndsTheProcess) {
  const TempDir dir;
  const auto path = dir.write("m.gguf", std::string(65536, 'x'));
  EXPECT_DEATH(
      {
        const auto source = TensorSource::open(path, Access::kMap);  // so that the handler is there
        raise(SIGBUS);
        _exit(0);
      },
      "");
}

}  // namespace
}  // namespace woolly::os
