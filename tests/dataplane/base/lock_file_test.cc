// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/base/lock_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "tests/temporary_directory.h"

namespace millrace {
namespace {

class LockFileTest : public testing::Test {
 protected:
  [[nodiscard]] std::string path() const { return directory_ / "x.lock"; }

  TemporaryDirectory directory_;
};

TEST_F(LockFileTest, ErrorNamesTheHolder) {
  {
    const auto first = LockFile::take(path());
    ASSERT_TRUE(first);
    for (int i = 0; i < 5; ++i) {  // none of them waits
      const auto second = LockFile::take(path());
      ASSERT_FALSE(second);
      EXPECT_EQ(second.error().error, 0);
      EXPECT_EQ(second.error().holder, ::getpid());
    }
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory_.path()));
  EXPECT_TRUE(LockFile::take(path()));
}

TEST_F(LockFileTest, IsReadableByItsOwnerOnly) {
  const auto lock = LockFile::take(path());
  ASSERT_TRUE(lock);
  struct stat status{};
  ASSERT_EQ(::stat(path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600U);
}

TEST_F(LockFileTest, IsFreeAfterItsHolderDied) {
  int held[2];
  ASSERT_EQ(::pipe(held), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto lock = LockFile::take(path());
    const char done = lock ? 'y' : 'n';
    static_cast<void>(!::write(held[1], &done, 1));
    for (;;) ::pause();
  }
  char done = 0;
  ASSERT_EQ(::read(held[0], &done, 1), 1);
  ASSERT_EQ(done, 'y');
  const auto refused = LockFile::take(path());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().holder, child);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(std::filesystem::exists(path()));
  EXPECT_TRUE(LockFile::take(path()));
  ::close(held[0]);
  ::close(held[1]);
}

TEST_F(LockFileTest, RefusesASymbolicLinkAndAMissingDirectory) {
  std::ofstream(directory_ / "other") << "precious";
  std::filesystem::create_symlink(directory_ / "other", path());
  EXPECT_EQ(LockFile::take(path()).error().error, ELOOP);
  EXPECT_EQ(std::filesystem::file_size(directory_ / "other"), 8U);
  EXPECT_EQ(LockFile::take(directory_ / "nosuch" / "x.lock").error().error, ENOENT);
}

TEST_F(LockFileTest, HolderWithoutItsPidIsUnknown) {
  const FileDescriptor other(::open(path().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(::flock(other.get(), LOCK_EX), 0);
  const auto refused = LockFile::take(path());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().error, 0);
  EXPECT_EQ(refused.error().holder, 0);
}

}  // namespace
}  // namespace millrace
