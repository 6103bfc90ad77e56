// SPDX-License-Identifier: BSD-3-Clause

// The program itself: exit statuses, start and end. MILLRACE names the executable.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "dataplane/base/file_descriptor.h"
#include "tests/slowness.h"
#include "tests/temporary_directory.h"

namespace {

using millrace::FileDescriptor;
using millrace::TemporaryDirectory;

// millrace with arguments, its stdout and stderr in one pipe.
class Program {
 public:
  explicit Program(std::vector<std::string> arguments) {
    int ends[2] = {-1, -1};
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    output_.reset(ends[0]);
    const FileDescriptor write_end(ends[1]);
    const char* millrace = std::getenv("MILLRACE");  // NOLINT(concurrency-mt-unsafe): one thread
    if (millrace == nullptr) throw std::runtime_error("MILLRACE names no executable");
    arguments.insert(arguments.begin(), millrace);
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    EXPECT_EQ(::posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
  }
  ~Program() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      static_cast<void>(exit_status());
    }
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // Reads until `text` arrives or to the end; returns all output so far.
  const std::string& read_until(std::string_view text) {
    std::array<char, 4096> buffer{};
    while (text.empty() || all_.find(text) == std::string::npos) {
      const ssize_t n = ::read(output_.get(), buffer.data(), buffer.size());
      if (n <= 0) break;
      all_.append(buffer.data(), static_cast<std::size_t>(n));
    }
    return all_;
  }
  const std::string& read_all() { return read_until(""); }
  void send_signal(int signal) const { ::kill(pid_, signal); }
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] int exit_status() {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  pid_t pid_ = -1;
  FileDescriptor output_;
  std::string all_;
};

class MainTest : public testing::Test {
 protected:
  [[nodiscard]] std::string socket_path() const { return directory_ / "ng.sock"; }
  [[nodiscard]] std::string config(const std::string& more = "") const {
    const std::string file = directory_ / "m.toml";
    std::ofstream(file) << "[dataplane]\nworker_cores = [1]\nmemory_mb = 128\nmbufs = 4096\n"
                           "idle_sleep_us = 1000\n"
                           "[[interface]]\nname = 'a'\ndevice = 'net_null0'\n"
                           "addresses = ['198.18.0.5/24']\n"
                           "[[control]]\npath = '"
                        << socket_path() << "'\n"
                        << more;
    return file;
  }
  [[nodiscard]] std::string ping() const {
    const FileDescriptor fd(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, socket_path().c_str(), socket_path().size());
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      return "not connected";
    }
    const std::string_view request = "d7:command4:pinge";
    EXPECT_GT(::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL), 0);
    std::array<char, 64> reply{};
    const ssize_t n = ::recv(fd.get(), reply.data(), reply.size(), 0);
    return {reply.data(), n > 0 ? static_cast<std::size_t>(n) : 0};
  }

  TemporaryDirectory directory_;
};

TEST_F(MainTest, VersionAndHelp) {
  Program version({"--version"});
  EXPECT_THAT(version.read_all(),
              testing::MatchesRegex("millrace [0-9.]+ \\(git [0-9a-f]+(-dirty)?, DPDK [0-9.]+.*, "
                                    ".+, .+\\)\n"));
  EXPECT_EQ(version.exit_status(), 0);
  Program help({"--help"});
  EXPECT_NE(help.read_all().find("--config"), std::string::npos);
  EXPECT_EQ(help.exit_status(), 0);
}

TEST_F(MainTest, CheckCreatesNoSocket) {
  const std::string file = config();
  Program good({"--config", file, "--check"});
  EXPECT_EQ(good.read_all(), file + ": configuration OK\n");
  EXPECT_EQ(good.exit_status(), 0);
  EXPECT_FALSE(std::filesystem::exists(socket_path()));
}

TEST_F(MainTest, CheckReportsFaultsOfThisMachine) {
  Program wrong({"--check", "--config",
                 config("owner = 'nosuch-user'\n"
                        "[[interface]]\nname = 'b'\ndevice = 'net_foo0'\n"
                        "addresses = ['198.18.1.5/24']\n")});
  EXPECT_EQ(
      wrong.read_all(),
      "millrace: mbufs: 4096 packet buffers are too few for 2 devices and 1 workers; at least "
      "4608\n"
      "millrace: interface 'b': device 'net_foo0': DPDK has no driver of this name; write "
      "net_af_packet0, net_af_xdp0, net_memif0, net_tap0, net_vhost0 or net_virtio_user0, or "
      "a PCI address as in 'lspci -D'\n"
      "millrace: control socket " +
          socket_path() + ": owner 'nosuch-user': no such user; create it or correct owner\n");
  EXPECT_EQ(wrong.exit_status(), 2);
  EXPECT_FALSE(std::filesystem::exists(socket_path()));
}

TEST_F(MainTest, ReportsEveryFaultInTheLogFormat) {
  const std::string file = config("[log]\nlevle = 'info'\nformat = 'json'\n[limits]\ncalls = -1\n");
  Program wrong({"--config", file});
  const std::string& lines = wrong.read_all();
  EXPECT_EQ(std::ranges::count(lines, '\n'), 2) << lines;
  EXPECT_NE(lines.find(R"("level":"error","event":"start-failed","reason":")" + file +
                       ":13:1: unknown key 'levle'"),
            std::string::npos)
      << lines;
  EXPECT_NE(lines.find(file + R"(:16:9: calls is -1; it must be from 0 to 100000000"})"),
            std::string::npos)
      << lines;
  EXPECT_EQ(wrong.exit_status(), 2);

  Program text({"--config", file, "--log-format", "text"});
  EXPECT_TRUE(text.read_all().starts_with("millrace: " + file + ":13:1: "));
  EXPECT_EQ(text.exit_status(), 2);
  Program check({"--config", file, "--check"});
  EXPECT_TRUE(check.read_all().starts_with("millrace: " + file + ":13:1: ")) << "for a person";
  EXPECT_EQ(check.exit_status(), 2);
}

TEST_F(MainTest, StartFailureIsJsonWhenTheLogIs) {
  const std::string folder = directory_ / "no" / "";
  const std::string path = folder + std::string(107 - folder.size(), 'x');  // the longest there is
  Program program(
      {"--log-format", "json", "--config", config("[[control]]\npath = '" + path + "'\n")});
  const std::string& line = program.read_all();
  EXPECT_TRUE(line.starts_with(R"({"time":")")) << line;
  EXPECT_NE(line.find(R"("event":"start-failed","reason":"control socket )" + path),
            std::string::npos)
      << line;
  EXPECT_TRUE(line.ends_with("writable\"}\n")) << "not cut: " << line;
  EXPECT_EQ(program.exit_status(), 1);
}

TEST_F(MainTest, WrongConfigFileExitsWithTwoAndOneLine) {
  const std::string file = config("[log]\nlevle = 'info'\n");
  for (const bool check : {false, true}) {
    Program wrong(check ? std::vector<std::string>{"--config", file, "--check"}
                        : std::vector<std::string>{"--config", file});
    EXPECT_EQ(wrong.read_all(),
              "millrace: " + file + ":13:1: unknown key 'levle' in [log]; did you mean 'level'?\n");
    EXPECT_EQ(wrong.exit_status(), 2);
  }
  Program missing({"--config", directory_ / "nosuch.toml"});
  EXPECT_NE(missing.read_all().find("No such file"), std::string::npos);
  EXPECT_EQ(missing.exit_status(), 2);
}

TEST_F(MainTest, WrongCommandLineExitsWithTwo) {
  Program wrong({"--nosuch"});
  EXPECT_NE(wrong.read_all().find("--nosuch"), std::string::npos);
  EXPECT_EQ(wrong.exit_status(), 2);
}

TEST_F(MainTest, ServesUntilTerminatedAndRemovesItsSockets) {
  const std::string file = config();
  Program program({"--config", file});
  ASSERT_NE(program.read_until(" info ready ").find(" info ready "), std::string::npos)
      << program.read_all();
  EXPECT_EQ(ping(), "d6:result4:ponge");

  Program second({"--config", file});
  EXPECT_EQ(second.read_all(), "millrace: control socket " + socket_path() +
                                   " is in use by process " + std::to_string(program.pid()) +
                                   "; stop that process or set another path\n");
  EXPECT_EQ(second.exit_status(), 1);
  EXPECT_EQ(ping(), "d6:result4:ponge");

#ifndef __SANITIZE_THREAD__  // whose own thread takes no signal
  // No thread keeps a capability, DPDK's included.
  for (const auto& task :
       std::filesystem::directory_iterator("/proc/" + std::to_string(program.pid()) + "/task")) {
    std::ifstream status(task.path() / "status");
    int seen = 0;
    for (std::string line; std::getline(status, line);) {
      if (!line.starts_with("CapEff:") && !line.starts_with("CapPrm:")) continue;
      EXPECT_TRUE(line.ends_with("\t0000000000000000")) << task.path() << " " << line;
      ++seen;
    }
    EXPECT_EQ(seen, 2);
  }
#endif

  const auto asked = std::chrono::steady_clock::now();
  program.send_signal(SIGTERM);
  program.read_all();
  EXPECT_EQ(program.exit_status(), 0);
  EXPECT_LT(std::chrono::steady_clock::now() - asked,
            std::chrono::seconds(2) * millrace::kSlowness);
  EXPECT_FALSE(std::filesystem::exists(socket_path()));
  EXPECT_FALSE(std::filesystem::exists(socket_path() + ".lock"));
}

TEST_F(MainTest, ReplacesTheSocketOfAKilledInstance) {
  const std::string file = config();
  {
    Program killed({"--config", file});
    killed.read_until(" info ready ");
    EXPECT_EQ(ping(), "d6:result4:ponge");
  }
  EXPECT_TRUE(std::filesystem::exists(socket_path()));
  Program program({"--config", file});
  program.read_until(" info ready ");
  EXPECT_EQ(ping(), "d6:result4:ponge");
  program.send_signal(SIGINT);
  EXPECT_NE(program.read_all().find("stopping signal=INT"), std::string::npos);
  EXPECT_EQ(program.exit_status(), 0);
}

TEST_F(MainTest, SighupDrainsAndExitsWithTheLastCall) {
  Program program({"--config", config(), "--log-format", "json"});
  program.read_until(R"("event":"ready")");
  program.send_signal(SIGHUP);
  const std::string& output = program.read_all();
  EXPECT_NE(output.find(R"("event":"draining","calls":0)"), std::string::npos);
  EXPECT_NE(output.find(R"("reason":"drained")"), std::string::npos);
  EXPECT_EQ(program.exit_status(), 0);
}

}  // namespace
