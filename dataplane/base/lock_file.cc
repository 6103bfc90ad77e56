// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/base/lock_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <charconv>

namespace millrace {
namespace {

pid_t read_pid(const FileDescriptor& file) {
  std::array<char, 16> text{};
  const ssize_t size = ::pread(file.get(), text.data(), text.size(), 0);
  pid_t pid = 0;
  if (size > 0) std::from_chars(text.data(), text.data() + size, pid);
  return pid;
}

bool has_name(const FileDescriptor& file, const std::string& path) {
  struct stat ours{};
  struct stat named{};
  return ::fstat(file.get(), &ours) == 0 && ::lstat(path.c_str(), &named) == 0 &&
         ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
}

}  // namespace

std::expected<LockFile, LockFile::Refusal> LockFile::take(std::string path) {
  for (;;) {
    FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file.valid()) return std::unexpected(Refusal{.error = errno});
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return std::unexpected(Refusal{.error = errno});
      return std::unexpected(Refusal{.holder = read_pid(file)});
    }
    if (!has_name(file, path)) continue;  // the former holder removed it after open()
    const std::string pid = std::to_string(::getpid()) + "\n";
    if (::ftruncate(file.get(), 0) != 0 ||
        ::pwrite(file.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
      const int error = errno;
      ::unlink(path.c_str());
      return std::unexpected(Refusal{.error = error});
    }
    return LockFile(std::move(path), std::move(file));
  }
}

LockFile::~LockFile() {
  if (file_.valid()) ::unlink(path_.c_str());
}

}  // namespace millrace
