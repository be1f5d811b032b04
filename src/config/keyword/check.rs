//! The checks of a real server, and `SSL`.
//!
//! One row a line: block, word, form, tier, default, meaning, what vipd does.

use super::Context::{
    self, AgentCheck, BfdCheck, DnsCheck, FileCheck, GrpcCheck, HttpGet, MiscCheck, PingCheck, SmtpCheck, SmtpHost,
    Ssl, SslGet, TcpCheck, UdpCheck, Url,
};
use super::Form::{Address, Block, Bool, Command, Flag, Int, OneOf, Seconds, Word, Words};
use super::Service::{NoEffect, NotYet, Served};
use super::Standing::{Deprecated, New, Ours, Removed};
use super::Tier::{A, B, C};
use super::{ANY, Keyword, MAX, row};

const SSL: &[Context] = &[Ssl];
const HTTP: &[Context] = &[HttpGet, SslGet];
const URL: &[Context] = &[Url];
const SMTP: &[Context] = &[SmtpCheck];
const DNS: &[Context] = &[DnsCheck];
const UDP: &[Context] = &[UdpCheck];
const MISC: &[Context] = &[MiscCheck];
const FILE_CHECK: &[Context] = &[FileCheck];
const BFD_CHECK: &[Context] = &[BfdCheck];
const AGENT: &[Context] = &[AgentCheck];
const GRPC: &[Context] = &[GrpcCheck];
const TLS: &[Context] = &[SslGet, GrpcCheck];
const ASKING: &[Context] = &[HttpGet, SslGet, Url];
const CONNECTING: &[Context] =
    &[TcpCheck, HttpGet, SslGet, SmtpCheck, SmtpHost, DnsCheck, UdpCheck, PingCheck, AgentCheck, GrpcCheck];
const CHECKS: &[Context] =
    &[TcpCheck, HttpGet, SslGet, SmtpCheck, SmtpHost, DnsCheck, UdpCheck, PingCheck, AgentCheck, GrpcCheck, MiscCheck];
const NOT_HTTP: &[Context] = &[TcpCheck, SmtpCheck, SmtpHost, DnsCheck, UdpCheck, PingCheck, MiscCheck];

#[rustfmt::skip]
pub(super) const ROWS: &[Keyword] = &[
    row(SSL, "password", Word("STRING"), C, "-", "password of the private key, which is PKCS #8", Served).complains(),
    row(SSL, "ca", Word("PATH"), C, "-", "CA file", Served).complains(),
    row(SSL, "certificate", Word("PATH"), C, "-", "client certificate file", Served).complains(),
    row(SSL, "key", Word("PATH"), C, "-", "private key file", Served).complains(),
    row(CONNECTING, "connect_ip", Address, B, "real server", "address to test (all but MISC, FILE, BFD)", Served),
    row(CONNECTING, "connect_port", Int(1, 65_535, ""), A, "real server port", "port to test", Served),
    row(CONNECTING, "bindto", Address, B, "-", "source address", Served),
    row(CONNECTING, "bind_port", Int(1, 65_535, ""), C, "-", "source port", Served),
    row(CONNECTING, "bind_if", Word("IFNAME"), C, "-", "needed for IPv6 link-local", Served),
    row(CONNECTING, "connect_timeout", Seconds("0.000001", "4294"), A, "5", "limit of one try", Served),
    row(CONNECTING, "fwmark", Int(0, MAX, ""), C, "0", "SO_MARK", Served),
    row(CHECKS, "retry", Int(0, MAX, ""), A, "1; DNS 3; MISC 0", "retries before failing", Served),
    row(CHECKS, "delay_before_retry", Seconds("0", "4294"), A, "1; HTTP/SSL 3; DNS delay_loop", "wait between tries", Served),
    row(CHECKS, "warmup", Seconds("0", "4294"), B, "delay_loop", "random delay of the first check", Served),
    row(CHECKS, "delay_loop", Seconds("0.000001", "4294"), B, "service", "period", Served),
    row(CHECKS, "alpha", Bool, C, "service", "start down", Served),
    row(CHECKS, "log_all_failures", Bool, C, "checker_log_all_failures", "log each failed try", Served),
    row(HTTP, "nb_get_retry", Int(0, MAX, ""), A, "1", "retries before failing", Served).standing(Deprecated("write `retry`")),
    row(HTTP, "virtualhost", Word("STRING"), B, "real server, service, address", "Host header", Served).complains(),
    row(HTTP, "http_protocol", OneOf(&["1.0", "1.1", "1.0C", "2"]), C, "1.0", "version sent; C adds Connection: close; 2 is vipd's: by ALPN within TLS, at once without it", Served).complains(),
    row(HTTP, "enable_sni", Bool, B, "false", "send SNI", Served),
    row(HTTP, "sni_name", Words("[NAME]", 0, 1), C, "virtualhost", "SNI name; implies enable_sni", Served).standing(New),
    row(HTTP, "fast_recovery", Bool, C, "false", "one success of each url is enough to come up", Served),
    row(HTTP, "tls_compliant", Bool, C, "false", "SSL_GET: insist on a proper close", Served).standing(New),
    row(HTTP, "url", Block("", 0, 0, Url), A, "at least one", "one request", Served),
    row(URL, "path", Word("STRING"), A, "required", "request path", Served),
    row(URL, "digest", Word("32 HEX DIGITS"), A, "none", "MD5 of the body", Served),
    row(URL, "status_code", Words("INT[-INT]...", 1, ANY), A, "200-299", "accepted codes", Served).complains(),
    row(URL, "virtualhost", Word("STRING"), B, "checker", "Host header of this url", Served).complains(),
    row(URL, "regex", Word("REGEX"), C, "none", "pattern over headers and body, without look-around and back-references", Served).complains(),
    row(URL, "regex_no_match", Flag, C, "off", "succeed when the regex does not match", Served),
    row(URL, "regex_options", Words("WORD...", 1, ANY), C, "none", "PCRE2 option names", Served).complains(),
    row(URL, "regex_min_offset", Int(0, MAX, ""), C, "0", "earliest match position", Served).complains(),
    row(URL, "regex_max_offset", Int(0, MAX, ""), C, "none", "latest match position", Served).complains(),
    row(URL, "regex_stack", Words("INT INT", 2, 2), C, "none", "JIT stack start and maximum", NoEffect("patterns run in linear time, and need no stack")).complains(),
    row(URL, "tls_compliant", Bool, C, "checker", "SSL_GET only", Served).standing(New),
    row(SMTP, "helo_name", Word("STRING"), B, "smtpchecker.keepalived.org", "HELO argument", Served).complains(),
    row(SMTP, "host", Block("", 0, 0, SmtpHost), B, "-", "one host to test; an old nesting", Served),
    row(DNS, "type", OneOf(&["A", "NS", "CNAME", "SOA", "MX", "TXT", "AAAA", "RRSIG", "DNSKEY"]), B, "SOA", "record type, any case", Served),
    row(DNS, "name", Word("STRING"), B, ". (root)", "name asked", Served),
    row(UDP, "payload", Words("HEX...", 1, ANY), C, "32-byte pattern", "datagram sent", Served).complains(),
    row(UDP, "require_reply", Words("[HEX]...", 0, ANY), C, "no", "a reply is needed", Served),
    row(UDP, "min_reply_length", Int(0, 65_535, ""), C, "0", "shortest reply", Served),
    row(UDP, "max_reply_length", Int(0, 65_535, ""), C, "255", "longest reply", Served),
    row(MISC, "misc_path", Command(false), A, "required", "script; exit 0 is success", Served).complains(),
    row(MISC, "misc_timeout", Int(0, 4_294, "s"), B, "delay_loop", "then SIGTERM, SIGKILL", Served),
    row(MISC, "misc_dynamic", Flag, B, "off", "exit 2..255 sets weight to code - 2", Served),
    row(MISC, "user", Words("USER [GROUP]", 1, 2), B, "script_user", "who runs it", Served).complains(),
    row(ASKING, "header", Words("NAME VALUE", 2, 2), C, "-", "a field that is sent besides; those of the check, then those of the url", Served).standing(Ours),
    row(TLS, "tls_session_reuse", Bool, C, "false", "go on with the TLS session of an earlier run", Served).standing(Ours),
    row(AGENT, "agent_send", Word("STRING"), C, "nothing", "said to the agent first, with an end of line", Served).standing(Ours),
    row(GRPC, "service", Word("NAME"), C, "the server as a whole", "service whose health is asked for, at most 127 bytes", Served).standing(Ours),
    row(GRPC, "virtualhost", Word("STRING"), C, "real server, service, address", "authority of the call", Served).standing(Ours),
    row(GRPC, "tls", Bool, C, "false", "within TLS; the certificate as for SSL_GET", Served).standing(Ours),
    row(GRPC, "enable_sni", Bool, C, "false", "send the virtualhost as SNI", Served).standing(Ours),
    row(GRPC, "sni_name", Word("NAME"), C, "virtualhost", "SNI name; implies enable_sni", Served).standing(Ours),
    row(FILE_CHECK, "track_file", Word("NAME"), C, "required", "a track_file", Served),
    row(FILE_CHECK, "weight", Words("INT [reverse|noreverse]", 1, 2), C, "weight of the file", "factor", Served).complains(),
    row(BFD_CHECK, "name", Word("NAME"), C, "required", "a bfd_instance", Served).complains().strict(),
    row(BFD_CHECK, "alpha", Bool, C, "service", "start down", Served),
    row(NOT_HTTP, "nb_get_retry", Int(0, MAX, ""), C, "-", "a keyword of HTTP_GET and SSL_GET alone", NotYet).standing(Removed("write `retry`")),
];
