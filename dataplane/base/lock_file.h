// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A lock between processes: an exclusive flock() on a file of mode 0600 that holds the holder's
// pid.
//
// Only a process with write access to the directory and the file can take it, so another user
// cannot block it. take() never waits. The kernel releases the lock when the process ends. The
// holder removes the file, so a lock counts only if its file still has the name.

#include <sys/types.h>

#include <expected>
#include <string>
#include <utility>

#include "dataplane/base/file_descriptor.h"

namespace millrace {

class LockFile {
 public:
  struct Refusal {
    int error = 0;     // of the file; 0: another process holds the lock
    pid_t holder = 0;  // that process; 0: unknown
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
  FileDescriptor file_;  // invalid: moved from
};

}  // namespace millrace
