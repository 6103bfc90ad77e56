// SPDX-License-Identifier: BSD-3-Clause
#include "control/server/tls.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "control/server/codecs.h"
#include "control/server/connection.h"
#include "dataplane/base/file_descriptor.h"
#include "tests/temporary_directory.h"

namespace millrace {
namespace {

template <auto kFree>
struct Free {
  void operator()(auto* object) const { kFree(object); }
};
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Free<X509_free>>;

struct Identity {
  Key key;
  Certificate certificate;
};

using Subject = std::vector<std::pair<const char*, const char*>>;

// Signed by `issuer`; null: by itself.
Identity make_identity(const Subject& subject, const Identity* issuer) {
  Identity made{Key(::EVP_EC_gen("P-256")), Certificate(::X509_new())};
  X509* certificate = made.certificate.get();
  ::ASN1_INTEGER_set(::X509_get_serialNumber(certificate), 1);
  ::X509_gmtime_adj(::X509_getm_notBefore(certificate), -60);
  ::X509_gmtime_adj(::X509_getm_notAfter(certificate), 3600);
  for (const auto& [attribute, value] : subject) {
    ::X509_NAME_add_entry_by_txt(::X509_get_subject_name(certificate), attribute, MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(value), -1, -1, 0);
  }
  const Identity& signer = issuer == nullptr ? made : *issuer;
  ::X509_set_issuer_name(certificate, ::X509_get_subject_name(signer.certificate.get()));
  ::X509_set_pubkey(certificate, made.key.get());
  ::X509_sign(certificate, signer.key.get(), ::EVP_sha256());
  return made;
}

// A client on the other end of a socket pair, in the same thread.
class TlsTest : public testing::Test {
 public:
  TlsTest(const TlsTest&) = delete;
  TlsTest& operator=(const TlsTest&) = delete;

 protected:
  TlsTest() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()), 0);
    server_end_ = FileDescriptor(ends[0]);
    client_end_ = FileDescriptor(ends[1]);
    write_certificate(server_.certificate.get(), config_.certificate);
    write_certificate(authority_.certificate.get(), config_.authority);
    const File file(::fopen(config_.private_key.c_str(), "we"));
    ::PEM_write_PrivateKey(file.get(), server_.key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  }
  ~TlsTest() override = default;

  using File = std::unique_ptr<FILE, Free<fclose>>;
  static void write_certificate(X509* certificate, const std::string& name) {
    const File file(::fopen(name.c_str(), "we"));
    ::PEM_write_X509(file.get(), certificate);
  }
  void connect(const Subject& subject, std::vector<SubjectRule> passport = {}) {
    config_.passport = std::move(passport);
    auto context = TlsContext::load(config_);
    ASSERT_TRUE(context) << context.error().message;
    context_ = std::move(*context);
    session_ = std::make_unique<TlsSession>(*context_, server_end_.get());
    const Identity identity = make_identity(subject, &authority_);
    client_context_.reset(::SSL_CTX_new(::TLS_client_method()));
    ::SSL_CTX_use_certificate(client_context_.get(), identity.certificate.get());
    ::SSL_CTX_use_PrivateKey(client_context_.get(), identity.key.get());
    client_.reset(::SSL_new(client_context_.get()));
    ::SSL_set_fd(client_.get(), client_end_.get());
    ::SSL_set_connect_state(client_.get());
  }
  // Lets both sides proceed until the server's side is done; empty: the client was accepted.
  std::string shake_hands() {
    for (int i = 0; i < 100 && session_->handshaking(); ++i) {
      ::SSL_do_handshake(client_.get());
      if (session_->receive(buffer_) < 0 && errno != EAGAIN) break;
    }
    return session_->fault();
  }
  std::string verdict(const Subject& subject, std::vector<SubjectRule> passport) {
    TlsTest other;
    other.connect(subject, std::move(passport));
    return other.shake_hands();
  }
  void TestBody() override {}

  TemporaryDirectory directory_;
  Identity authority_ = make_identity({{"CN", "authority"}}, nullptr);
  Identity server_ = make_identity({{"CN", "relay"}}, &authority_);
  Tls config_{.certificate = directory_ / "c.pem",
              .private_key = directory_ / "k.pem",
              .authority = directory_ / "a.pem",
              .passport = {}};
  FileDescriptor server_end_, client_end_;
  std::unique_ptr<const TlsContext> context_;
  std::unique_ptr<TlsSession> session_;
  std::unique_ptr<SSL_CTX, Free<SSL_CTX_free>> client_context_;
  std::unique_ptr<SSL, Free<SSL_free>> client_;
  std::array<char, 65536> buffer_{};
};

const Subject kClient = {
    {"C", "NL"}, {"O", "Exämple"}, {"OU", "web"}, {"OU", "phones"}, {"CN", "www.example.com"}};

TEST_F(TlsTest, AllRulesOfThePassportMustMatch) {
  EXPECT_EQ(verdict(kClient, {}), "");
  for (const SubjectRule& rule : std::vector<SubjectRule>{{"CN", "www.example.com"},
                                                          {"CN", "*.example.com"},
                                                          {"CN", "www*"},
                                                          {"CN", "*"},
                                                          {"CN", "www.example.com*"},
                                                          {"O", "Exämple"},
                                                          {"OU", "phones"},
                                                          {"OU", "web"}}) {
    EXPECT_EQ(verdict(kClient, {{"C", "NL"}, rule}), "") << rule.attribute << ':' << rule.value;
  }
  for (const SubjectRule& rule : std::vector<SubjectRule>{{"CN", "www.example.org"},
                                                          {"CN", "*.example.org"},
                                                          {"CN", "example*"},
                                                          {"CN", "WWW.example.com"},
                                                          {"OU", "webphones"},
                                                          {"L", "*"},
                                                          {"EMAIL", "*"}}) {
    const std::string fault = verdict(kClient, {{"C", "NL"}, rule});
    EXPECT_TRUE(
        fault.ends_with("does not match " + rule.attribute + ":" + rule.value + " of passport"))
        << fault;
  }
}

TEST_F(TlsTest, FaultNamesTheSubject) {
  EXPECT_EQ(verdict({{"CN", "a'b\n"}, {"emailAddress", "a@b"}}, {{"C", "NL"}}),
            "client certificate 'CN = a'b\\0A, emailAddress = a@b': does not match C:NL of "
            "passport");
}

// The handshake goes on once the client has read.
TEST_F(TlsTest, HandshakeWaitsForRoomInTheSocket) {
  connect(kClient);
  ::SSL_do_handshake(client_.get());  // sends its hello
  const std::string filling(4096, 'x');
  std::size_t filled = 0;
  for (ssize_t n = 0; (n = ::send(server_end_.get(), filling.data(), filling.size(), 0)) > 0;) {
    filled += static_cast<std::size_t>(n);
  }
  EXPECT_EQ(session_->receive(buffer_), -1);
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_TRUE(session_->wants_room());
  while (filled > 0) {
    const ssize_t n =
        ::recv(client_end_.get(), buffer_.data(), std::min(filled, buffer_.size()), 0);
    ASSERT_GT(n, 0);
    filled -= static_cast<std::size_t>(n);
  }
  EXPECT_EQ(shake_hands(), "");
  EXPECT_FALSE(session_->wants_room());
  EXPECT_FALSE(session_->handshaking());
}

// A connection posts itself again when there is room, and its handshake may become overdue.
TEST_F(TlsTest, ConnectionWaitsForRoomInTheSocketDuringTheHandshake) {
  connect(kClient);
  session_.reset();
  const Config config;
  const Handler handle = [](const Request&) -> Reply { return reply::Summary{}; };
  Connections connections;
  const auto connection = std::make_shared<Connection>(
      1, std::move(server_end_), codec_of(ControlProtocol::mediaproxy_management),
      ServeContext{.handle = handle, .config = config}, connections, "192.0.2.1:4000",
      context_.get());
  ASSERT_EQ(connections.add(connection), "");
  ::SSL_do_handshake(client_.get());
  std::size_t filled = 0;
  const std::string filling(4096, 'x');
  for (ssize_t n = 0; (n = ::send(connection->fd(), filling.data(), filling.size(), 0)) > 0;) {
    filled += static_cast<std::size_t>(n);
  }
  EXPECT_TRUE(connection->post(Connection::kInput).room);
  const auto now = Connection::Clock::now();
  EXPECT_FALSE(connection->is_overdue(now));
  EXPECT_TRUE(connection->is_overdue(now + Connection::kRequestTime));
  while (filled > 0) {
    const ssize_t n =
        ::recv(client_end_.get(), buffer_.data(), std::min(filled, buffer_.size()), 0);
    ASSERT_GT(n, 0);
    filled -= static_cast<std::size_t>(n);
  }
  for (int i = 0; i < 10 && ::SSL_do_handshake(client_.get()) != 1; ++i) {
    EXPECT_FALSE(connection->post(Connection::kInput).room);  // once is enough
  }
  EXPECT_FALSE(connection->post(Connection::kInput).room);
  EXPECT_FALSE(connection->is_overdue(now + std::chrono::hours(1)));
  ASSERT_EQ(::SSL_write(client_.get(), "ver", 3), 3);  // one edge of epoll for two records
  ASSERT_EQ(::SSL_write(client_.get(), "sion\n", 5), 5);
  EXPECT_FALSE(connection->post(Connection::kInput).turn);
  EXPECT_GT(::SSL_read(client_.get(), buffer_.data(), 100), 0);
  connection->close();
}

TEST_F(TlsTest, LongRepliesContinueWhereTheSocketWasFull) {
  connect(kClient);
  ASSERT_EQ(shake_hands(), "");
  std::string sent(3 << 20, ' '), received;
  for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * 31 >> 7);
  std::size_t full = 0;
  for (std::string rest = sent; !rest.empty() || received.size() < sent.size();) {
    if (!rest.empty()) {
      const std::string moved = rest;  // a retry need not be at the same address
      const ssize_t n = session_->send(moved);
      ASSERT_TRUE(n > 0 || errno == EAGAIN) << session_->fault();
      if (n > 0) rest.erase(0, static_cast<std::size_t>(n));
      if (n > 0 && !rest.empty()) continue;
      ++full;
    }
    int n = 0;
    while ((n = ::SSL_read(client_.get(), buffer_.data(), static_cast<int>(buffer_.size()))) > 0) {
      received.append(buffer_.data(), static_cast<std::size_t>(n));
    }
  }
  EXPECT_TRUE(received == sent);
  EXPECT_GT(full, 3U);
}

TEST_F(TlsTest, EndsWithANoticeOfTheEnd) {
  connect(kClient);
  ASSERT_EQ(shake_hands(), "");
  std::array<char, 16> got{};
  ASSERT_EQ(::SSL_write(client_.get(), "summary", 7), 7);
  EXPECT_EQ(session_->receive(got), 7);
  ::SSL_shutdown(client_.get());
  EXPECT_EQ(session_->receive(got), 0);
  EXPECT_EQ(session_->send("reply"), 5);  // after the client's end of input
  session_.reset();
  EXPECT_EQ(::SSL_read(client_.get(), got.data(), 16), 5);
  EXPECT_EQ(::SSL_read(client_.get(), got.data(), 16), 0);
  EXPECT_EQ(::SSL_get_error(client_.get(), 0), SSL_ERROR_ZERO_RETURN);
}

TEST_F(TlsTest, CorruptRecordsEndTheSession) {
  connect(kClient);
  ASSERT_EQ(shake_hands(), "");
  ASSERT_GT(::send(client_end_.get(),
                   "\x17\x03\x03\x00\x20"
                   "0123456789abcdef0123456789abcdef",
                   37, 0),
            0);
  EXPECT_EQ(session_->receive(buffer_), -1);
  EXPECT_EQ(errno, EPROTO);
  EXPECT_EQ(session_->fault(), "TLS: decryption failed or bad record mac");
}

TEST_F(TlsTest, EachConnectionPresentsItsCertificate) {
  connect(kClient);
  ASSERT_EQ(shake_hands(), "");
  EXPECT_EQ(session_->send("x"), 1);
  EXPECT_EQ(::SSL_read(client_.get(), buffer_.data(), 1), 1);  // with it, tickets would arrive
  EXPECT_EQ(::SSL_SESSION_is_resumable(::SSL_get_session(client_.get())), 0);
}

TEST_F(TlsTest, LoadNamesTheFile) {
  EXPECT_TRUE(TlsContext::load(config_));
  const auto error = [](const Tls& config) {
    const auto context = TlsContext::load(config);
    return context ? "loaded" : context.error().message;
  };
  Tls wrong = config_;
  wrong.private_key = directory_ / "absent.pem";
  EXPECT_EQ(error(wrong), "private_key " + wrong.private_key +
                              ": No such file or directory; write the path of a file that "
                              "Millrace's user may read");
  wrong = config_;
  wrong.authority = config_.private_key;
  EXPECT_TRUE(error(wrong).starts_with("authority " + wrong.authority + ": ")) << error(wrong);
  wrong = config_;
  wrong.certificate = config_.authority;
  EXPECT_EQ(error(wrong), "private_key " + wrong.private_key +
                              ": key values mismatch; write the key of certificate " +
                              wrong.certificate);
}

}  // namespace
}  // namespace millrace
