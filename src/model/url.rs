//! Parts of paths, and the address of EMQX's REST API, as in `--emqx-url`.

use std::fmt::{self, Write as _};

use super::cluster::ApiPort;

/// A text as a part of a path or query: all characters but the unreserved ones are escaped (RFC 3986, 2.3).
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(byte as char);
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// The address of EMQX's REST API: scheme, host and port. A request determines whether EMQX is v4 or v5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmqxUrl {
    /// Whether it is https.
    pub tls: bool,
    /// The host, IPv6 without brackets.
    pub host: String,
    pub port: u16,
}

/// EMQX's default port for HTTPS (`dashboard.listeners.https.bind`).
const HTTPS_PORT: u16 = 18084;

const EXAMPLE: &str = "for instance https://emqx.example.com:18084 (EMQX 4: port 8081)";

impl EmqxUrl {
    /// Parses a URL; the port defaults to 18083, for https to 18084. The error is the reason and a hint; the
    /// reason never repeats the text, which may contain a password.
    pub fn parse(text: &str) -> Result<Self, (&'static str, &'static str)> {
        let bad = |why: &'static str| (why, EXAMPLE);
        let (scheme, rest) =
            text.trim().split_once("://").ok_or_else(|| bad("it does not begin with http:// or https://"))?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(bad("EMQX's API is served over http or https only")),
        };
        if rest.contains('@') {
            return Err((
                "a secret in a URL can be read by every user of this machine",
                "put key:secret into a file and pass it with --api-key-file",
            ));
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err(bad("it must end after the port; the path (/api/v5 or /api/v4) is found by asking"));
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(|| bad("its host is not valid"))?;
                if host.parse::<std::net::Ipv6Addr>().is_err() {
                    return Err(bad("its host is not an IPv6 address"));
                }
                let port = match port.strip_prefix(':') {
                    Some(port) => Some(port),
                    None if port.is_empty() => None,
                    None => return Err(bad("its host is not valid")),
                };
                (host, port)
            }
            None => match authority.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let good = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_');
        if host.is_empty() || !(authority.starts_with('[') || host.chars().all(good)) {
            return Err(bad("its host is missing or not valid"));
        }
        let port = match port {
            None => Some(if tls { HTTPS_PORT } else { ApiPort::V5.port }),
            Some(port) => port.parse::<u16>().ok().filter(|port| *port > 0),
        };
        let port = port.ok_or_else(|| bad("the port must be a number from 1 to 65535"))?;
        Ok(Self { tls, host: host.to_owned(), port })
    }

    /// `HOST:PORT`, as an HTTP `Host` header and a log line have it; IPv6 in brackets.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Whether the host is a loopback name or address.
    pub(crate) fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for EmqxUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}://{}", if self.tls { "https" } else { "http" }, self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_a_port_gets_the_default_port_of_its_scheme() {
        for (text, expected) in [
            ("http://emqx.mq", "http://emqx.mq:18083"),
            ("https://emqx.mq/", "https://emqx.mq:18084"),
            ("HTTPS://emqx.mq:443", "https://emqx.mq:443"),
            ("http://localhost:80", "http://localhost:80"),
            ("http://[::1]", "http://[::1]:18083"),
            ("https://[fd00::1]:8081", "https://[fd00::1]:8081"),
            ("http://10.0.0.1", "http://10.0.0.1:18083"),
        ] {
            assert_eq!(EmqxUrl::parse(text).map(|url| url.to_string()).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_url_that_is_not_scheme_host_and_port_is_refused_without_repeating_it() {
        for text in [
            "",
            "emqx.mq:18083",
            "ftp://a",
            "mqtt://emqx.mq:1883",
            "http://",
            "http://:18083",
            "http://a:0",
            "http://a:b",
            "http://a:",
            "http://a:65536",
            "http://a/api/v5",
            "http://a?x",
            "http://[::1",
            "http://[::1]x",
            "http://[zz]:1",
            "http://::1",
            "http://a b",
            "http://joe:hunter2@host",
            "http://joe:hunter2@host/api",
        ] {
            let (why, hint) = EmqxUrl::parse(text).expect_err(text);
            assert!(!why.contains("hunter2") && !hint.contains("hunter2"), "{text}");
        }
        assert!(EmqxUrl::parse("http://k:s@host").expect_err("a secret").1.contains("--api-key-file"));
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for (text, expected) in [
            ("http://localhost", true),
            ("http://127.0.0.5", true),
            ("http://[::1]", true),
            ("http://emqx.mq", false),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(EmqxUrl::parse(text).map(|url| url.is_loopback()), Ok(expected), "{text}");
        }
    }
}
