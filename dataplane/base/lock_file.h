// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Inter-process lock: an exclusive flock() on a file of mode 0600 that contains the holder's pid.
//
// Only a process with write access to the directory and the file can take the lock, so other users
// cannot block it. take() never waits. The kernel releases the lock when the process ends. The
// holder removes the file: a lock is valid only while `path` still names the locked file.

#include <sys/types.h>

#include <expected>
#include <string>
#include <utility>

#include "dataplane/base/file_descriptor.h"

namespace millrace {

class LockFile {
 public:
  struct Refusal {
    int error = 0;     // errno of a file operation; 0: another process holds the lock
    pid_t holder = 0;  // pid of that process; 0: unknown
  };

  [[nodiscard]] static std::expected<LockFile, Refusal> take(std::string path);
  LockFile(LockFile&&) noexcept = default;
  LockFile(const LockFile&) = delete;
  LockFile& operator=(const LockFile&) = delete;
  LockFile& operator=(LockFile&&) = delete;
  ~LockFile();  // removes the file

 private:
  LockFile(std::string path, FileDescriptor file)
      : path_(std::move(path)), file_(std::move(file)) {}

  std::string path_;
  FileDescriptor file_;  // invalid if moved from
};

}  // namespace millrace
