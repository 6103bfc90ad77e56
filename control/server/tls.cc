// SPDX-License-Identifier: BSD-3-Clause
#include "control/server/tls.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>
#include <utility>

#include <fmt/format.h>

#include "dataplane/base/file_descriptor.h"
#include "dataplane/base/text.h"

namespace millrace {

namespace {

// The last error of this thread's OpenSSL calls.
std::string openssl_error() {
  const unsigned long code = ::ERR_peek_last_error();
  const char* reason = ::ERR_reason_error_string(code);
  return reason != nullptr ? reason : "unknown error";
}

Result<void> check_readable(std::string_view key, const std::string& file) {
  const FileDescriptor fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.valid()) return {};
  return fail(fmt::format("{} {}: {}; write the path of a file that Millrace's user may read", key,
                          file, error_text(errno)));
}

// An encrypted key would ask for its passphrase on the terminal.
int no_passphrase(char* /*buffer*/, int /*size*/, int /*for_writing*/, void* /*argument*/) {
  return -1;
}

int attribute_id(std::string_view attribute) {
  constexpr std::array<int, kSubjectAttributes.size()> kIds = {
      NID_countryName,       NID_stateOrProvinceName,    NID_localityName,
      NID_organizationName,  NID_organizationalUnitName, NID_commonName,
      NID_pkcs9_emailAddress};
  const auto* const found = std::ranges::find(kSubjectAttributes, attribute);
  return found == kSubjectAttributes.end()
             ? NID_undef
             : kIds.at(static_cast<std::size_t>(found - kSubjectAttributes.begin()));
}

bool matches(std::string_view pattern, std::string_view value) {
  if (pattern.starts_with('*')) return value.ends_with(pattern.substr(1));
  if (pattern.ends_with('*')) return value.starts_with(pattern.substr(0, pattern.size() - 1));
  return pattern == value;
}

// Whether one of the subject's values of that attribute matches.
bool matches(const SubjectRule& rule, const X509_NAME* subject) {
  const int id = attribute_id(rule.attribute);
  for (int at = -1; (at = ::X509_NAME_get_index_by_NID(subject, id, at)) >= 0;) {
    unsigned char* text = nullptr;
    const ASN1_STRING* value = ::X509_NAME_ENTRY_get_data(::X509_NAME_get_entry(subject, at));
    const int size = ::ASN1_STRING_to_UTF8(&text, value);
    if (size < 0) continue;
    const std::string copy(reinterpret_cast<const char*>(text), static_cast<std::size_t>(size));
    ::OPENSSL_free(text);
    if (matches(rule.value, copy)) return true;
  }
  return false;
}

// "C=NL, O=Example, CN=client", non-ASCII escaped.
std::string text_of(const X509_NAME* subject) {
  const std::unique_ptr<BIO, decltype(&::BIO_free)> out(::BIO_new(::BIO_s_mem()), &::BIO_free);
  if (out == nullptr) throw std::bad_alloc();
  ::X509_NAME_print_ex(out.get(), subject, 0, XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_QUOTE);
  char* text = nullptr;
  const long size = ::BIO_get_mem_data(out.get(), &text);
  return size > 0 ? std::string(text, static_cast<std::size_t>(size)) : std::string("no subject");
}

bool has_revocation_list(X509_STORE* store) {
  const STACK_OF(X509_OBJECT)* objects = ::X509_STORE_get0_objects(store);
  for (int i = 0; i < sk_X509_OBJECT_num(objects); ++i) {
    if (::X509_OBJECT_get_type(sk_X509_OBJECT_value(objects, i)) == X509_LU_CRL) return true;
  }
  return false;
}

}  // namespace

// Judges client certificates, within the handshake.
struct TlsVerifier {
  // Called for each certificate of the chain, the client's (depth 0) last.
  static int verify(int valid, X509_STORE_CTX* chain) {
    auto* ssl = static_cast<SSL*>(
        ::X509_STORE_CTX_get_ex_data(chain, ::SSL_get_ex_data_X509_STORE_CTX_idx()));
    try {
      return verify(*static_cast<TlsSession*>(SSL_get_app_data(ssl)), valid == 1, chain) ? 1 : 0;
    } catch (const std::exception&) {  // out of memory; the caller is C
      return 0;
    }
  }
  static bool verify(TlsSession& session, bool valid, X509_STORE_CTX* chain) {
    const X509* certificate = ::X509_STORE_CTX_get_current_cert(chain);
    const X509_NAME* subject =
        certificate == nullptr ? nullptr : ::X509_get_subject_name(certificate);
    const auto refuse = [&](std::string_view reason) {
      session.fault_ = fmt::format("client certificate '{}': {}",
                                   subject == nullptr ? "" : text_of(subject), reason);
      return false;
    };
    if (!valid) {
      return refuse(::X509_verify_cert_error_string(::X509_STORE_CTX_get_error(chain)));
    }
    if (::X509_STORE_CTX_get_error_depth(chain) != 0) return true;
    for (const SubjectRule& rule : session.context_.passport_) {
      if (matches(rule, subject)) continue;
      ::X509_STORE_CTX_set_error(chain, X509_V_ERR_APPLICATION_VERIFICATION);
      return refuse(fmt::format("does not match {}:{} of passport", rule.attribute, rule.value));
    }
    session.accepted_ = true;
    return true;
  }
};

void TlsContext::Free::operator()(ssl_ctx_st* context) const { ::SSL_CTX_free(context); }
void TlsSession::Free::operator()(ssl_st* session) const { ::SSL_free(session); }

Result<std::unique_ptr<const TlsContext>> TlsContext::load(const Tls& config) {
  std::unique_ptr<TlsContext> context(new TlsContext(config));
  ::ERR_clear_error();
  auto loaded = context->load_files(config);
  ::ERR_clear_error();
  if (!loaded) return std::unexpected(std::move(loaded.error()));
  return context;
}

TlsContext::TlsContext(const Tls& config)
    : context_(::SSL_CTX_new(::TLS_server_method())), passport_(config.passport) {
  if (context_ == nullptr) throw std::bad_alloc();
  SSL_CTX* context = context_.get();
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  // Requests are framed by lines, so that a missing close_notify hides nothing.
  ::SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
                                     SSL_OP_IGNORE_UNEXPECTED_EOF |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE);
  ::SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
  ::SSL_CTX_set_default_passwd_cb(context, no_passphrase);
  ::SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                       TlsVerifier::verify);
}

Result<void> TlsContext::load_files(const Tls& config) {
  SSL_CTX* context = context_.get();
  for (const auto& [key, file] : {std::pair{"certificate", &config.certificate},
                                  {"private_key", &config.private_key},
                                  {"authority", &config.authority}}) {
    if (auto readable = check_readable(key, *file); !readable) return readable;
  }
  if (::SSL_CTX_use_certificate_chain_file(context, config.certificate.c_str()) != 1) {
    return fail(
        fmt::format("certificate {}: {}; write a certificate in PEM, and its chain after it",
                    config.certificate, openssl_error()));
  }
  ::ERR_clear_error();
  if (::SSL_CTX_use_PrivateKey_file(context, config.private_key.c_str(), SSL_FILETYPE_PEM) != 1) {
    const bool other = ERR_GET_REASON(::ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH ||
                       ERR_GET_REASON(::ERR_peek_last_error()) == X509_R_KEY_TYPE_MISMATCH;
    return fail(fmt::format(
        "private_key {}: {}; write {}", config.private_key, openssl_error(),
        other ? "the key of certificate " + config.certificate : "a key in PEM, not encrypted"));
  }
  // Clients choose their certificate by the names of the CAs.
  STACK_OF(X509_NAME)* names = ::SSL_load_client_CA_file(config.authority.c_str());
  ::SSL_CTX_set_client_CA_list(context, names);
  if (names == nullptr || ::SSL_CTX_load_verify_file(context, config.authority.c_str()) != 1) {
    return fail(fmt::format("authority {}: {}; write the certificates of the clients' CAs in PEM",
                            config.authority, openssl_error()));
  }
  X509_STORE* store = ::SSL_CTX_get_cert_store(context);
  if (has_revocation_list(store)) ::X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
  return {};
}

TlsSession::TlsSession(const TlsContext& context, int socket)
    : context_(context), session_(::SSL_new(context.context_.get())) {
  if (session_ == nullptr || ::SSL_set_fd(session_.get(), socket) != 1) throw std::bad_alloc();
  SSL_set_app_data(session_.get(), this);
  ::SSL_set_accept_state(session_.get());
}

TlsSession::~TlsSession() {
  if (handshaking() || !fault_.empty()) return;
  ::ERR_clear_error();
  ::SSL_shutdown(session_.get());
}

bool TlsSession::handshaking() const { return ::SSL_is_init_finished(session_.get()) == 0; }

ssize_t TlsSession::receive(std::span<char> buffer) {
  ::ERR_clear_error();
  std::size_t size = 0;
  const int code = ::SSL_read_ex(session_.get(), buffer.data(), buffer.size(), &size);
  return result(code, size);
}

ssize_t TlsSession::send(std::string_view bytes) {
  ::ERR_clear_error();
  std::size_t size = 0;
  const int code = ::SSL_write_ex(session_.get(), bytes.data(), bytes.size(), &size);
  return result(code, size);
}

ssize_t TlsSession::result(int code, std::size_t size) {
  const int system_error = errno;
  wants_room_ = false;
  if (!handshaking() && !accepted_) return set_fault("no client certificate");
  if (code == 1) return static_cast<ssize_t>(size);
  switch (::SSL_get_error(session_.get(), code)) {
    case SSL_ERROR_WANT_WRITE:
      wants_room_ = true;
      [[fallthrough]];
    case SSL_ERROR_WANT_READ:
      errno = EAGAIN;
      return -1;
    case SSL_ERROR_ZERO_RETURN:
      return handshaking() ? set_fault("the client ended the handshake") : 0;
    case SSL_ERROR_SYSCALL:
      return set_fault(error_text(system_error));
    default:
      return set_fault(openssl_error());
  }
}

// The verdict on the client's certificate is more precise than OpenSSL's error.
ssize_t TlsSession::set_fault(std::string_view reason) {
  if (fault_.empty()) fault_ = fmt::format("TLS: {}", reason);
  errno = EPROTO;
  return -1;
}

}  // namespace millrace
