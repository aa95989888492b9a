#include "serve/prefix_cache.h"

#include "serve/support.h"

namespace woolly::test {
namespace {

class PrefixCacheOfTheTinyModel : public testing::Test {
 protected:
  void SetUp() override {
    WOOLLY_NEEDS_SHARED("models/stories260K.gguf");
    engine_ = make_engine(table_names().back(), 1);
    root_ = make_session(load(*engine_, "models/stories260K.gguf"));
  }

  void put(const std::string& key, const std::vector<TokenId>& tokens) {
    auto session = root_->sibling();
    ASSERT_TRUE(session);
    ASSERT_TRUE((*session)->append(tokens));
    cache_.put({key, tokens, std::move(session).value()});
  }

  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Session> root_;
  serve::PrefixCache cache_;
};

TEST_F(PrefixCacheOfTheTinyModel, GivesTheLongestBeginning) {
  put("", prompt_of(100, 1));
  put("", prompt_of(90, 2));
  auto wanted = prompt_of(100, 1);
  wanted.resize(70);
  wanted.push_back({7});
  EXPECT_EQ(cache_.longest("", wanted), 70U);
  const auto forked = cache_.take("", wanted, 1000);
  ASSERT_TRUE(forked);
  EXPECT_EQ(forked->n_tokens(), 70U);
  EXPECT_EQ(cache_.size(), 2U) << "what is not used to its end stays";
  const auto whole = cache_.take("", prompt_of(110, 1), 1000);
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->n_tokens(), 100U);
  EXPECT_EQ(cache_.size(), 1U);
  EXPECT_EQ(cache_.take("", prompt_of(100, 2), 64)->n_tokens(), 64U) << "no more than asked for";
}

TEST_F(PrefixCacheOfTheTinyModel, SharesNothingBetweenKeys) {
  put("a", prompt_of(100, 1));
  EXPECT_EQ(cache_.longest("b", prompt_of(100, 1)), 0U);
  EXPECT_EQ(cache_.take("b", prompt_of(100, 1), 1000), nullptr);
  EXPECT_EQ(cache_.longest("a", prompt_of(100, 1)), 100U);
}

TEST_F(PrefixCacheOfTheTinyModel, KeepsNoEntryTwiceAndDropsTheOldest) {
  put("", prompt_of(50, 1));
  put("", prompt_of(60, 1));
  EXPECT_EQ(cache_.size(), 1U) << "the longer one contains the shorter";
  put("", prompt_of(50, 2));
  EXPECT_TRUE(cache_.drop_oldest());
  EXPECT_EQ(cache_.longest("", prompt_of(60, 1)), 1U);
  EXPECT_TRUE(cache_.drop_oldest());
  EXPECT_FALSE(cache_.drop_oldest());
  for (unsigned i = 0; i < 70; ++i) put("", prompt_of(3, i));
  EXPECT_LE(cache_.size(), 64U);
}

TEST(CommonPrefix, CountsWhatIsEqual) {
  const auto a = ids({1, 2, 3}), b = ids({1, 2, 4, 5});
  EXPECT_EQ(serve::common_prefix(a, b), 2U);
  EXPECT_EQ(serve::common_prefix(a, {}), 0U);
  EXPECT_EQ(serve::common_prefix(a, a), 3U);
}

}  // namespace
}  // namespace woolly::test
